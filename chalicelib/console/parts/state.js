/** The state of a connection: a coloured bullet and a word. */

import { h } from "./dom.js";

/** @type {Record<State, "good" | "busy" | "bad" | "idle">} */
const KINDS = {
  OPENED: "good",
  OPENING: "busy", AUTHENTICATING: "busy", CLOSING: "busy",
  AUTHENTICATION_FAILED: "bad", UNREACHABLE: "bad",
  CLOSED: "idle", DEACTIVATED: "idle",
};

export const STATES = /** @type {State[]} */ (Object.keys(KINDS));

/** Whether the state changes soon without an action of the user. @param {Connection} connection */
export const isPassing = ({ state }) => KINDS[state] === "busy";

/** Shows the API's name of the state; the style sheet sets it in lower case. @param {Connection} connection */
export function stateBadge({ state, stateReason }) {
  // A connection that is closed for a reason has a fault.
  const kind = state === "CLOSED" && stateReason ? "bad" : KINDS[state] || "idle";
  const word = h("span.word", {}, state.replaceAll("_", " "));
  return h(`span.state.${kind}`, {}, h("span.bullet", { "aria-hidden": "true" }), word);
}
