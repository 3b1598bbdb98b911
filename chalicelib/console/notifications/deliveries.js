/** The log of notifications: the last ones with the result of their attempts. */

import { get } from "../parts/api.js";
import { stackedTable } from "../parts/document.js";
import { button, h, put } from "../parts/dom.js";
import { moment } from "../parts/format.js";
import { T } from "../texts.js";
import { N } from "../texts/notifications.js";

const BULLETS = { pending: "busy", delivered: "good", failed: "bad" };

export function deliveriesSection() {
  const list = h("div", {}, h("p.muted", {}, T.loading));
  let asked = 0;

  async function load() {
    const number = ++asked;
    try {
      const { json } = await get("notifications/deliveries");
      // An answer that a later one has overtaken lacks the last notifications.
      if (number !== asked) return;
      const deliveries = /** @type {Delivery[]} */ (json);
      const none = h("p.muted", {}, N.noDeliveries);
      put(list, deliveries.length ? stackedTable(N.table, N.columns, deliveries.map(row)) : none);
    } catch (problem) {
      if (number === asked) put(list, h("p.error", {}, problem.message));
    }
  }

  const refresh = button(N.refresh, { kind: "small", onclick: load });
  const title = h("div.title-row", {}, h("h2", {}, N.deliveries), refresh);
  return { element: h("section.panel", {}, title, list), load };
}

/** @param {Delivery} delivery */
function row({ kind, message, connectionId, time, status, attempts, httpStatus, detail, nextAttempt, milliseconds }) {
  const kindName = N.kind[kind] || kind;
  const result = [
    attempts > 0 && N.attempts(attempts),
    httpStatus && `HTTP ${httpStatus}`,
    milliseconds !== null && `${milliseconds} ms`,
  ];
  return {
    name: [
      connectionId ? h("a", { href: `#/connections/${encodeURIComponent(connectionId)}` }, kindName) : kindName,
      h("div.muted.small", {}, message),
    ],
    time: moment(time),
    status: h(`span.state.${BULLETS[status]}`, {}, h("span.bullet", { "aria-hidden": "true" }), N.status[status]),
    result: [
      result.filter(Boolean).join(", ") || T.none,
      detail && h("div.muted.small", {}, detail),
      status === "pending" && nextAttempt && h("div.muted.small", {}, N.next(moment(nextAttempt))),
    ],
  };
}
