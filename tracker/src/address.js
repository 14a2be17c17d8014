// Addresses as they are sent, and patterns of paths. Pure.

// Query parameters the server reads: campaigns, and the kinds of ad clicks (a test holds them equal to
// enrich/url.py). Others stay in the browser: some sites put names and tokens there.
const CAMPAIGN =
  /^(utm_(source|medium|campaign|term|content)|([dgqy]|fb|tt|tw|ys)clid|[gw]braid|msclkid|li_fat_id|rdt_cid|sccid|epik|tblci|dicbo|igshid|srsltid)=/i;

// An address without its fragment and without parameters that are neither known nor in `wanted`;
// "" for what is no address. With `hash`, the fragment goes on the path: a router keeps
// its pages there.
export const clean = (text, wanted, hash) => {
  try {
    const url = new URL(text);
    if (hash && url.hash) {
      const [, path, query = ""] = url.hash.split(/[#!?]+/);
      url.pathname = `${url.pathname}/${path}`.replace(/\/+/g, "/");
      url.search += `&${query}`;
    }
    url.hash = "";
    url.search = url.search
      .slice(1)
      .split("&")
      .filter((pair) => CAMPAIGN.test(pair) || wanted.includes(pair.split("=")[0]))
      .join("&");
    return url.href;
  } catch {
    return "";
  }
};

// A path pattern as a regular expression: * is anything within a part of the path, ** is anything.
export const glob = (pattern) =>
  RegExp(
    `^${pattern
      .replace(/[^\w*/-]/g, "\\$&")
      .replace(/\*+/g, (stars) => (stars[1] ? ".*" : "[^/]*"))}$`,
  );
