/** The numbers of connections by state; each links to the list of its connections. */

import { h, put } from "../parts/dom.js";
import { number } from "../parts/format.js";
import { addressOf } from "../parts/query.js";
import { STATES, stateBadge } from "../parts/state.js";
import { T } from "../texts.js";

/** The worst state first. @type {State[]} */
const ORDER = [
  "AUTHENTICATION_FAILED", "UNREACHABLE", "CLOSED", "OPENING", "AUTHENTICATING", "CLOSING", "OPENED", "DEACTIVATED",
];
const PATH = "/connections";

export function statesRow() {
  const element = h("ul.state-counts", { "aria-label": T.overview.states });
  let face = "";

  /** @param {Summary} summary */
  function update({ states, total, faults }) {
    const fresh = JSON.stringify([states, total, faults.length]);
    if (fresh === face) return;
    face = fresh;
    const closed = faults.some(({ cause }) => cause !== "CERTIFICATE_ENDS");
    const shown = ORDER.filter((state) => STATES.includes(state) && (states[state] > 0 || state === "OPENED"));
    put(
      element,
      item(total, h("span.state.all", {}, T.overview.all), addressOf(PATH, {})),
      shown.map((state) => {
        const stateReason = state === "CLOSED" && closed ? "." : null;
        const badge = stateBadge(/** @type {Connection} */ ({ state, stateReason }));
        return item(states[state], badge, addressOf(PATH, { state }));
      }),
    );
  }
  return { element, update };
}

/** @param {number} count @param {HTMLElement} name @param {string} href */
const item = (count, name, href) => h("li", {}, h("a", { href }, h("span.count-big", {}, number(count)), name));
