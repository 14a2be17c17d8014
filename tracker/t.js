// TrackFlow's browser script: page views by itself, other events by trackflow("name", {props}).
//
//   <script defer src="https://stats.example.com/t.js" data-site="example.com"></script>
//
// data-site  the site the events belong to; default: the page's host name
// data-api   where they go, relative to the script's address; default: v1/events
//
// No cookie, no storage, one global. Whatever a browser lacks is left out of the event, and
// nothing here may throw: a page must not break because it is counted. docs/tracker.md tells
// how to use it. What is served is this file without comments and indentation: run
// tracker/build.py after a change. A comment has its lines to itself.
(() => {
  const { document, history, location, navigator, screen } = window;
  const early = window.trackflow;
  // A tag pasted twice counts once.
  if (early?.on) return;

  const tag = document.currentScript;
  const options = tag?.dataset || {};
  const site = options.site || location.hostname;
  let referrer = document.referrer;
  let shown;

  // Fragments stay in the browser: they name a place in the page, and some logins put tokens there.
  const address = () => location.href.split("#")[0];
  const size = (width, height) => (width && height ? `${width}x${height}` : undefined);

  const post = (body) => {
    const url = new URL(options.api || "v1/events", tag?.src || location.origin).href;
    // Text bodies need no CORS preflight. A beacon outlives the page; it is refused (false)
    // when the browser's 64 KB for them are used up.
    if (navigator.sendBeacon?.(url, body)) return;
    fetch(url, { method: "POST", body, keepalive: true, mode: "no-cors" }).catch(() => {});
  };

  // Sends one event and returns its id, or undefined if it could not be sent.
  const trackflow = (name, data) => {
    if (!name || !site) return;
    try {
      const { revenue, ...props } = data || {};
      // By its id the server stores an event once even if it arrives twice. Any text will do;
      // randomUUID exists on https and localhost only.
      const id = window.crypto?.randomUUID?.() || `${Date.now()}-${Math.random()}`;
      // JSON leaves out what is undefined.
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

  // A router may call this several times for one step, or only to keep a scroll position: a
  // view is counted when the address became another. Waiting lets it set the title first.
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
  // Back to a page the browser kept alive: no script runs again, yet it is a view.
  addEventListener("pageshow", (event) => event.persisted && view());

  trackflow.on = true;
  window.trackflow = trackflow;

  // A page loaded ahead of a click that may never come is counted when it is shown.
  if (document.prerendering) document.addEventListener("prerenderingchange", view, { once: true });
  else view();
  // Calls made before this script had loaded, kept by the stub in docs/tracker.md.
  for (const call of early?.q || []) trackflow(...call);
})();
