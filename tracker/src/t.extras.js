// The second file: what few sites want, named in data-extras of t.js's tag.
import { errors } from "./errors.js";
import { vitals } from "./vitals.js";

// t.js puts the names in the fragment of this file's address.
const wanted = decodeURIComponent(import.meta.url.split("#")[1]).split(" ");
if (wanted.includes("errors")) errors();
if (wanted.includes("vitals")) vitals();
