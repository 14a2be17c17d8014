// TrackFlow's browser script: docs/tracker.md tells how to use it. No cookie, one global. Nothing here
// may throw: a page must not break because it is counted.
import { open, replay, second } from "./api.js";
import { clicks } from "./clicks.js";
import { hide, show, start } from "./deliver.js";
import { leave, measure, tick } from "./engaged.js";
import { loadExtras } from "./load.js";
import { listen } from "./options.js";
import { notFound } from "./notfound.js";
import { views } from "./views.js";

const turn = ({ type }) => {
  if (document.hidden || type === "pagehide") {
    measure();
    leave();
    hide();
  } else {
    tick();
    show();
  }
};

if (!second) {
  open();
  listen("focus blur visibilitychange pagehide pageshow", turn);
  listen("scroll", measure);
  clicks();
  views();
  notFound();
  replay();
  start();
  loadExtras();
}
