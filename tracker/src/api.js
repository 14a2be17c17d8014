// The one global.
import { drain } from "./deliver.js";
import { optIn, optOut } from "./queue.js";
import { identify, page, track } from "./track.js";
import { pageview } from "./views.js";

// Calls made before the script had loaded are kept by the stub in docs/tracker.md. A tag pasted twice
// counts once.
const early = window.trackflow;
export const second = early?.flush;

export const open = () => {
  window.trackflow = Object.assign(track, { pageview, identify, page, flush: drain, optOut, optIn });
};

export const replay = () => {
  for (const call of early?.q || []) track(...call);
};
