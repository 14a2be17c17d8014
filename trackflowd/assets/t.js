// TrackFlow: no cookies, no storage. Apache-2.0
(() => {
const { document, history, location, navigator, screen } = window;
const early = window.trackflow;
if (early?.on) return;
const tag = document.currentScript;
const options = tag?.dataset || {};
const site = options.site || location.hostname;
let referrer = document.referrer;
let shown;
const address = () => location.href.split("#")[0];
const size = (width, height) => (width && height ? `${width}x${height}` : undefined);
const post = (body) => {
const url = new URL(options.api || "v1/events", tag?.src || location.origin).href;
if (navigator.sendBeacon?.(url, body)) return;
fetch(url, { method: "POST", body, keepalive: true, mode: "no-cors" }).catch(() => {});
};
const trackflow = (name, data) => {
if (!name || !site) return;
try {
const { revenue, ...props } = data || {};
const id = window.crypto?.randomUUID?.() || `${Date.now()}-${Math.random()}`;
post(
JSON.stringify({
site,
name,
id,
url: address(),
referrer,
title: document.title,
props,
revenue,
screen: size(screen?.width, screen?.height),
viewport: size(window.innerWidth, window.innerHeight),
lang: navigator.language,
tz: window.Intl?.DateTimeFormat().resolvedOptions().timeZone,
}),
);
return id;
} catch {}
};
const view = () => {
shown = address();
trackflow("pageview");
};
const moved = () =>
setTimeout(() => {
if (!shown || shown === address()) return;
referrer = shown;
view();
});
for (const method of ["pushState", "replaceState"]) {
const original = history?.[method];
if (!original) continue;
history[method] = function (...args) {
original.apply(this, args);
moved();
};
}
addEventListener("popstate", moved);
addEventListener("pageshow", (event) => event.persisted && view());
trackflow.on = true;
window.trackflow = trackflow;
if (document.prerendering) document.addEventListener("prerenderingchange", view, { once: true });
else view();
for (const call of early?.q || []) trackflow(...call);
})();
