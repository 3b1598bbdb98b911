/** The first page of the connections, which signing in reads to check the token and the list then shows. */

import { get } from "./api.js";

/** Connections that fit a window: they are requested first, so that the list is there soon. */
export const FIRST = 25;
const FRESH = 5000;

/** @type {{at: number, answer: Answer} | null} */
let first = null;

/** Reads the first page; throws a Problem if the server refuses the token. */
export async function readFirst() {
  first = { at: Date.now(), answer: await get(`connections?limit=${FIRST}`, { renew: false }) };
}

/** The page that was read within the last seconds, or null. It is returned once. */
export function takeFirst() {
  const taken = first;
  first = null;
  return taken && Date.now() - taken.at < FRESH ? taken.answer : null;
}

export function forgetFirst() {
  first = null;
}
