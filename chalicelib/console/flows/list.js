/** The flows of the tenant, and the preview of a report. */

import { documentsView, stackedTable } from "../parts/document.js";
import { h, icon } from "../parts/dom.js";
import { AUTOMATIC, address as driverAddress } from "../drivers/model.js";
import { address, condition, readConnections, readFlows } from "./model.js";
import { previewPanel } from "./preview.js";
import { T } from "../texts.js";

const SHOWN = 5;

/** @param {HTMLElement} place */
export function flowsView(place) {
  const preview = previewPanel();
  const read = async () => {
    const [flows, connections] = await Promise.all([readFlows(), readConnections()]);
    preview.know(flows, connections);
    const names = new Map(connections.map(({ id, name }) => [id, name]));
    if (!flows.length) {
      const empty = [icon("broker", 40), h("h2", {}, T.flows.empty), h("p.muted", {}, T.flows.emptyText)];
      return h("section.empty.panel", {}, empty);
    }
    const rows = flows.map((each, index) => row(each, index + 1, names));
    return [h("p.muted", {}, T.flows.intro), stackedTable(T.flows.table, T.flows.columns, rows)];
  };
  documentsView(place, T.flows.title, "#/flows/create", read, preview.element);
}

/** @param {Flow} flow @param {number} order @param {Map<string, string>} names */
function row({ id, name, description, active, matchers, connectors, driver }, order, names) {
  const targets = connectors.map(({ connectionId }) =>
    h("a", { href: `#/connections/${encodeURIComponent(connectionId)}` }, names.get(connectionId) || connectionId),
  );
  const more = targets.length - SHOWN;
  return {
    order: String(order),
    name: [
      h("a", { href: address(id) }, name),
      !active && h("span.tag", {}, T.flows.inactive),
      description && h("span.muted.small", {}, description),
    ],
    reports: matchers.length ? matchers.slice(0, SHOWN).map(conditionLine) : T.flows.every,
    connections: [
      targets.length ? targets.slice(0, SHOWN).map((each) => h("div", {}, each)) : T.none,
      more > 0 && T.flows.more(more),
    ],
    driver: driver ? driverName(driver.id) : T.none,
  };
}

/** @param {Matcher} matcher @param {number} index */
const conditionLine = (matcher, index) =>
  h("div.condition", {}, index > 0 && h("span.muted", {}, T.flows.or), condition(matcher));

/** @param {string} id */
const driverName = (id) =>
  id === AUTOMATIC ? T.flows.automatic : h("a.mono", { href: driverAddress(id) }, id);
