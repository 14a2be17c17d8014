// The second file, for what few sites want: beside the script, under its name. What is wanted of it
// goes in the fragment, which no server and no cache sees.
import { debug, option, tag } from "./options.js";

export const loadExtras = () => {
  const extras = option("extras", "");
  if (extras) import(`${tag.src.replace(/(\.js)?(\?|$)/, ".extras$1$2")}#${extras}`).catch(debug);
};
