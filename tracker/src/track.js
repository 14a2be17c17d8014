// An event: what happened, where, and what the browser says of itself.
import { clean } from "./address.js";
import { enqueue, tell } from "./deliver.js";
import { ignored } from "./filter.js";
import { debug, on, option, site, words } from "./options.js";

const wanted = words("query");
const hash = on("hash", "off");

export const cleaned = (address) => clean(address, wanted);
export const address = () => clean(location.href, wanted, hash);

// The page view that is open: its id, address and title, and the page before.
export const page = { referrer: cleaned(document.referrer) };

let user = option("user", "");
export const identify = (id) => {
  user = `${id ?? ""}`;
};

// A random UUID. crypto.randomUUID exists on https and localhost only; the name of a blob is one too.
const uuid = () => crypto.randomUUID?.() || URL.createObjectURL(new Blob()).slice(-36);

// Does the work, and lets no error of it out to the page. A page loaded ahead of a click that may never
// come does it when it is shown.
export const shown = (work) => {
  try {
    return document.prerendering ? document.addEventListener("prerenderingchange", () => shown(work)) : work();
  } catch (error) {
    debug(error);
  }
};

// Queues an event and returns its id; undefined if it is not counted or cannot be said in JSON.
export const track = (name, data) =>
  shown(() => {
    const { callback, ...rest } = data || {};
    const reason = ignored();
    if (reason) {
      debug(name, "ignored:", reason);
      tell(callback, "ignored");
      return;
    }
    const event = {
      site,
      name,
      id: uuid(),
      url: address(),
      referrer: page.referrer,
      title: document.title,
      screen: `${screen.width}x${screen.height}`,
      viewport: `${innerWidth}x${innerHeight}`,
      lang: navigator.language,
      // The first use of Intl takes 30 ms and more on a slow phone; Temporal knows the zone at once.
      tz: window.Temporal?.Now.timeZoneId() || Intl.DateTimeFormat().resolvedOptions().timeZone,
      user,
      ...rest,
      at: Date.now(),
      attempt: 0,
    };
    for (const key in event) if (!on(key)) delete event[key];
    debug(name, event);
    enqueue(event, callback);
    return event.id;
  });
