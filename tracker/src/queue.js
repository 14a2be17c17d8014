// Events that wait, one key of localStorage each, shared by the tabs of an origin: tabs that write at
// the same moment do not overwrite each other's. Where there is no storage, or no more of it, an
// object of this page's takes its place.
//
//   trackflow ENDPOINT TIME ID   →   the event as it is sent, with `at` (ms since 1970) for `age_ms`
import { beside, option } from "./options.js";

export const endpoint = beside(option("api", "v1/events"));
const PREFIX = `trackflow ${endpoint} `;
const OFF = "trackflow.off";

const MAX_COUNT = 1000;
// Of the 5 million characters an origin may have, for all tabs together.
const MAX_CHARS = 500_000;
const WEEK_MS = 7 * 24 * 3600 * 1000;

export let store = {};
try {
  store = localStorage || store;
} catch {}

export const put = (key, text) => {
  try {
    store[key] = text;
  } catch {
    store = { [OFF]: store[OFF], [key]: text };
  }
};

export const keyOf = ({ at, id }) => PREFIX + at + id;
export const save = (event) => put(keyOf(event), JSON.stringify(event));
export const drop = (event) => delete store[keyOf(event)];

// Everything that waits, newest first; what is past the queue's bounds is dropped. An age below zero
// is a clock that was wrong then or is wrong now.
export const load = () => {
  let count = 0;
  let chars = 0;
  return Object.keys(store)
    .filter((key) => key.startsWith(PREFIX))
    .sort()
    .reverse()
    .flatMap((key) => {
      try {
        const event = JSON.parse(store[key]);
        const fits = ++count <= MAX_COUNT && (chars += store[key].length) <= MAX_CHARS;
        if (fits && Math.abs(Date.now() - event.at) < WEEK_MS) return event;
      } catch {}
      delete store[key];
      return [];
    });
};

export const isOff = () => store[OFF];

// One's own visits are not counted any more, or are again.
export const optOut = () => {
  put(OFF, 1);
  load().map(drop);
};
export const optIn = () => {
  delete store[OFF];
};
