// Why an event is not counted.
import { glob } from "./address.js";
import { words } from "./options.js";
import { isOff } from "./queue.js";

const allowed = words("allow");
const excluded = words("exclude").map(glob);

const signs = {
  localhost: /^$|localhost$|^127\.|::1|\.local$/.test(location.hostname),
  automation: navigator.webdriver,
  frame: top !== window,
  gpc: navigator.globalPrivacyControl,
  dnt: navigator.doNotTrack > 0,
};
const found = ["localhost", "automation", "frame", ...words("respect")].find(
  (name) => signs[name] && !allowed.includes(name),
);

// The reason, or undefined for an event that counts.
export const ignored = () =>
  isOff() ? "opted out" : excluded.some((pattern) => pattern.test(location.pathname)) ? "exclude" : found;
