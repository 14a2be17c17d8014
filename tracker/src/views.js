// Page views: on load, on every step of a single-page site, and when a page comes back.
import { enter, leave, measure } from "./engaged.js";
import { listen, on } from "./options.js";
import { address, page, shown, track } from "./track.js";

let waiting, timer;

// Counts a view. What the page before was looked at is told first.
export const pageview = (data) =>
  shown(() => {
    leave();
    const view = { url: address(), title: document.title, ...data };
    if (page.url && page.url !== view.url) page.referrer = page.url;
    Object.assign(page, view, { id: track("pageview", view) });
    enter();
    return page.id;
  });

const arrive = (url) => {
  clearTimeout(timer);
  timer = 0;
  if (page.url && url !== page.url) pageview({ url });
};

// A router may call this several times for one step, or only to keep a scroll position: a view is
// counted when the address became another. Waiting lets the router set the title, and replace the
// address, first; a second step in the meantime is a step of its own.
const moved = (event) => {
  const url = address();
  if (!timer && url === page.url) return;
  measure();
  if (timer && event?.navigationType === "push" && url !== waiting) arrive(waiting);
  waiting = url;
  timer ||= setTimeout(() => arrive(address()));
};

const watch = () => {
  const { navigation } = window;
  // It tells of every step, whoever wraps or replaces pushState. Older browsers lack it: looking at the
  // address now and then is as sure, and leaves the page's own functions alone.
  if (navigation) navigation.addEventListener("currententrychange", moved);
  else setInterval(moved, 300);
};

export const views = () => {
  if (!on("pageviews")) return;
  if (on("spa")) watch();
  // Back to a page the browser kept alive: no script runs again, yet it is a view.
  listen("pageshow", ({ persisted }) => persisted && pageview());
  pageview();
};
