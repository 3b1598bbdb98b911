/** The state of a connection: a bullet of its colour, always with its word. */

import { h } from "./dom.js";

const KINDS = {
  OPENED: "good",
  OPENING: "busy", AUTHENTICATING: "busy", CLOSING: "busy",
  AUTHENTICATION_FAILED: "bad", UNREACHABLE: "bad",
  CLOSED: "idle", DEACTIVATED: "idle",
};

export const STATES = Object.keys(KINDS);

/** Whether it is about to change by itself. */
export const isPassing = ({ state }) => KINDS[state] === "busy";

/** The word is that of the API; only its looks are lower case. */
export function stateBadge({ state, stateReason }) {
  // Closed without a reason is rest; with one it is a fault.
  const kind = state === "CLOSED" && stateReason ? "bad" : KINDS[state] || "idle";
  return h(`span.state.${kind}`, {}, h("span.bullet", { "aria-hidden": "true" }), h("span.word", {}, state.replaceAll("_", " ")));
}
