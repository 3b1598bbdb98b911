/** Names of the causes of faults. */

import { T } from "../texts.js";

/** @type {Record<string, string>} */
const NAMES = T.causes;

/** A short name of a cause, such as "Login refused". @param {string} cause the type of an event */
export function causeName(cause) {
  const words = cause.replaceAll("_", " ").toLowerCase();
  return NAMES[cause] ?? words.charAt(0).toUpperCase() + words.slice(1);
}
