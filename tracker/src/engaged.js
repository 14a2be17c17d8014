// How long a page was looked at and how far it was read, told when it is left: an event "leave" whose
// property `view` is the id of its page view. A page that is left and taken up again has several; their
// engaged_ms add up.
import { on } from "./options.js";
import { page, track } from "./track.js";

const MAX_MS = 86_400_000; // the server's
let since, engaged, deepest, told;

// Adds the time since the last call if the page was visible and focused until now.
export const tick = () => {
  const now = performance.now();
  if (since) engaged += now - since;
  since = !document.hidden && document.hasFocus() && now;
};

export const measure = () => {
  const share = (scrollY + innerHeight) / document.documentElement.scrollHeight;
  if (on("scroll")) deepest = Math.max(deepest, Math.min(Math.round(share * 100), 100));
};

export const enter = () => {
  since = engaged = deepest = told = 0;
  tick();
};

// Tells what is new; a glance of less than a second waits for more of it.
export const leave = () => {
  tick();
  if (!page.id || !((on("engaged") && engaged >= 1000) || deepest > told)) return;
  track("leave", {
    url: page.url,
    title: page.title,
    props: { view: page.id },
    engaged_ms: on("engaged") && Math.min(engaged, MAX_MS) | 0,
    scroll: deepest,
  });
  engaged = 0;
  told = deepest;
};
