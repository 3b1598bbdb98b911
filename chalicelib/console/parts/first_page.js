/** The summary and the first rows, which signing in reads to check the token and the overview then shows. */

import { get } from "./api.js";
import { onSignOut } from "./forget.js";

/** Connections that fit a window. */
export const FIRST = 25;
const FRESH = 5000;

/** @type {Map<string, {at: number, answer: Answer}>} */
const known = new Map();
onSignOut(() => known.clear());

export const SUMMARY = "connections/summary";
export const WORST = `connections?sort=worst&limit=${FIRST}`;

/** Reads what the first view shows; throws a Problem if the server refuses the token. */
export async function readFirst() {
  const read = async (/** @type {string} */ path) => {
    const answer = await get(path, { renew: false });
    known.set(path, { at: Date.now(), answer });
  };
  await Promise.all([read(SUMMARY), read(WORST)]);
}

/**
 * The answer that was read within the last seconds, otherwise a new one.
 * @param {string} path @returns {Promise<Answer>}
 */
export async function first(path) {
  const found = known.get(path);
  known.delete(path);
  return found && Date.now() - found.at < FRESH ? found.answer : get(path);
}
