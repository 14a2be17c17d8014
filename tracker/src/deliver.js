// From the queue to the server. An event leaves the queue when the server has said what became of it;
// until then it is sent again, under the same id, with `attempt` telling how often it was sent before.
import { backoff, cut, query, verdicts } from "./batch.js";
import { beside, listen, option } from "./options.js";
import { drop, endpoint, load, save } from "./queue.js";

// A visit's events come in bursts; waiting this long makes one request of a burst.
const BATCH_MS = 300;
const TIMEOUT_MS = 15_000;
// Events of one request; about 25 KB, and browsers let 64 KB be under way behind a closed page.
const MOST = 50;

const pixel = beside(option("pixel", "v1/pixel.gif"));
const mine = {}; // ids of this page's events → callback
let most = MOST;
let failures = 0;
let asked = 0; // until when the server wants to be left alone (Retry-After)
let pause = 0; // until when nothing is sent
let leaving, timer;
let running = Promise.resolve();

const later = (delay) => {
  timer ||= setTimeout(drain, delay);
};

// Sends what waits, when it may; resolves when that has been done or put off. One tab at a time, by a
// Web Lock. Without those (plain http, a frame without an origin) two tabs may send the same event,
// which the server knows by its id.
export const drain = () => (running = running.then(() => navigator.locks.request(endpoint, pass)).catch(pass));

const pass = async () => {
  clearTimeout(timer);
  timer = 0;
  for (let batch; (batch = cut(load(), most))[0]; await send(batch)) {
    const wait = pause - Date.now();
    if (wait > 0) return later(wait);
  }
};

// The last resort, for pages whose policy forbids connections but not pictures. It tells only that
// the event was taken.
const picture = (event) =>
  new Promise((done) => {
    const image = new Image();
    image.onload = () => done("accepted");
    image.onerror = () => done();
    setTimeout(done, TIMEOUT_MS);
    image.src = `${pixel}?${query(event)}`;
  });

// In its own task: what a page does in its callback is not ours to fail by.
export const tell = (callback, outcome) => callback && setTimeout(callback, 0, outcome);

// Up to its first wait this is done at once, so a closing page may call it. From then on each event
// counts as sent once more, whatever becomes of it.
const send = async (batch, beacon) => {
  const events = batch.map(({ at, ...event }) => ({ ...event, age_ms: Math.max(Date.now() - at, 0) }));
  for (const event of batch) {
    event.attempt++;
    save(event);
  }
  const body = JSON.stringify(events);
  if (beacon && navigator.sendBeacon?.(endpoint, body)) return;
  let all;
  asked = 0;
  try {
    // As text, so that browsers ask no preflight.
    const response = await fetch(endpoint, {
      method: "POST",
      body,
      keepalive: true,
      credentials: "omit",
      signal: AbortSignal.timeout?.(TIMEOUT_MS),
    });
    asked = Date.now() + response.headers.get("Retry-After") * 1000 || 0;
    all = verdicts(batch.length, response.status, await response.json());
  } catch {
    all = [await picture({ ...events[0], attempt: batch[0].attempt })];
  }
  const left = batch.filter((event, index) => {
    const verdict = all[index];
    tell(mine[event.id], verdict || "queued");
    mine[event.id] = 0;
    if (!verdict) return true;
    drop(event);
    if (verdict !== "accepted") console.warn("trackflow:", event.name, verdict);
  });
  // If something in the request is wrong and nobody said what, halving it finds out.
  most = left[0] ? most >> 1 || 1 : MOST;
  if (left.length === batch.length) pause = Math.max(asked, Date.now() + backoff(++failures));
  else failures = 0;
};

export const enqueue = (event, callback) => {
  mine[event.id] = callback || 0;
  save(event);
  if (leaving) handOver();
  else if (callback) drain();
  else later(BATCH_MS);
};

// What this page has not sent goes to the browser, which sends it when the page is gone. Nobody
// tells whether it arrived: it stays queued, and goes again with the next page's first request.
const handOver = () => {
  const batch = cut(
    load().filter(({ id, attempt }) => id in mine && !attempt),
    MOST,
  );
  if (!batch[0] || pause > Date.now()) return;
  send(batch, true);
  handOver();
};

export const hide = () => {
  leaving = true;
  handOver();
};

export const show = () => {
  leaving = false;
  later(BATCH_MS);
};

export const start = () => {
  listen("online", () => {
    pause = asked;
    drain();
  });
  show();
};
