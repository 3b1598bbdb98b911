/** What reaches a connection: every report, or those that flows choose. */

import { getAll } from "../parts/api.js";
import { h, put } from "../parts/dom.js";
import { address } from "./model.js";
import { T } from "../texts.js";

const FRESH = 10_000;
const SHOWN = 10;

/** The flows that name a connection, in the order of their creation. @param {string} id @returns {Promise<Flow[]>} */
export const flowsOf = async (id) =>
  (await getAll(`flows?limit=100&connectionId=${encodeURIComponent(id)}`)).reverse();

/** @param {Flow} flow */
export const flowLink = ({ id, name, active }) => [
  h("a", { href: address(id) }, name),
  !active && [" ", h("span.tag", {}, T.flows.inactive)],
];

/** @param {() => Connection} current */
export function routingLine(current) {
  const element = h("p.muted.routing", {});
  let read = 0;

  async function update() {
    const { id, routing } = current();
    if (routing === "all") {
      read = 0;
      element.dataset.face = "";
      element.textContent = T.flows.routedAll;
    } else if (Date.now() - read > FRESH) {
      read = Date.now();
      /** @type {Flow[]} */
      let flows;
      try {
        flows = await flowsOf(id);
      } catch (problem) {
        element.textContent = problem.message;
        return;
      }
      const face = JSON.stringify(flows.map((each) => [each.id, each.name, each.active]));
      if (element.dataset.face === face) return;
      element.dataset.face = face;
      const links = flows.slice(0, SHOWN).map((each, n) => [n > 0 && ", ", flowLink(each)]);
      const more = flows.length - SHOWN;
      const none = !flows.some(({ active }) => active);
      const begin = none ? T.flows.routedNone : T.flows.routedFlows;
      put(element, begin, " ", links, more > 0 && ` ${T.flows.more(more)}`, ".");
    }
  }
  return { element, update };
}
