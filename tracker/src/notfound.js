// Pages that are not there: the browser knows the status of the answer it shows.
import { on } from "./options.js";
import { track } from "./track.js";

export const notFound = () => {
  if (on("notfound") && performance.getEntriesByType("navigation")[0]?.responseStatus === 404) track("404");
};
