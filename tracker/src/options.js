// The tag that loaded the script, and what its data- attributes say. docs/tracker.md lists every
// option with its default; a test holds that list to the calls of `option`, `on` and `words`.

export const tag = document.currentScript;

// The attribute data-NAME, or what holds without it.
export const option = (name, preset = "on") => tag?.dataset[name] ?? preset;

// Whether a signal is wanted: the attribute alone (data-hash) says yes, as does any text but "off".
export const on = (name, preset) => option(name, preset) !== "off";

// An option that lists things.
export const words = (name, preset = "") => option(name, preset).split(" ");

// An address relative to the script's own.
export const beside = (path) => new URL(path, tag?.src || location.origin).href;

export const site = option("site", location.hostname);

const talks = on("debug", "off");
export const debug = (...words) => talks && console.info("trackflow:", ...words);

// With `first`, before the page's own handlers, so that none of them can stop the event.
export const listen = (names, handler, first) => names.split(" ").map((name) => addEventListener(name, handler, first));
