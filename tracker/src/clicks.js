// What people do on a page, heard before the page's own handlers can stop it.
import { listen, on, option, words } from "./options.js";
import { cleaned, track } from "./track.js";

const own = [location.hostname.replace("www.", ""), ...words("domains")];
const endings = option("downloads", "7z|avi|csv|dmg|docx?|epub|exe|gz|mov|mp[34]|pdf|pptx?|rar|txt|wav|xlsx?|zip");
const file = RegExp(`\\.(${endings})$`, "i");

// An element with data-trackflow-event says itself what it is.
const tagged = (element) => {
  const props = {};
  for (const { name, value } of element.attributes) {
    const prop = name.split("data-trackflow-prop-")[1];
    if (prop) props[prop] = value;
  }
  track(element.dataset.trackflowEvent, { props });
};

const clicked = ({ button, target }) => {
  if (button > 1) return; // a menu, not a step
  const element = target.closest?.("[data-trackflow-event]:not(form)");
  if (element) tagged(element);
  const link = target.closest?.("[href]");
  if (!/^http/.test(link?.protocol)) return;
  const below = (domain) => `.${link.hostname}`.endsWith(`.${domain}`);
  const kind = file.test(link.pathname) ? "download" : on("outbound") && !own.some(below) && "outbound";
  if (kind) track(kind, { props: { url: cleaned(link.href) } });
};

// Which form, never what is in it. A field may be called "id", so attributes are asked, not properties.
const submitted = ({ target }) => {
  if (target.dataset.trackflowEvent) tagged(target);
  else if (on("forms")) track("form", { props: { form: target.getAttribute("id") || target.getAttribute("name") } });
};

export const clicks = () => {
  listen("click auxclick", clicked, true);
  listen("submit", submitted, true);
};
