/** Times relative to now, with the full time and its zone as their title. */

import { h } from "./dom.js";
import { relative, zoned } from "./format.js";
import { T } from "../texts.js";

/** @param {string | null | undefined} time @param {string} none the text without a time */
export function ago(time, none = T.none) {
  if (!time) return h("span.muted", {}, none);
  return h("time", { datetime: time, title: zoned(time) }, relative(time));
}
