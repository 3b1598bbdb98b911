/** The flows of the tenant, and the preview of a report. */

import { button, h, icon, put } from "../parts/dom.js";
import { errorLine } from "../parts/dialog.js";
import { AUTOMATIC, address, condition, readConnections, readFlows } from "./model.js";
import { previewPanel } from "./preview.js";
import { T } from "../texts.js";

const SHOWN = 5;

/** @typedef {keyof typeof T.flows.columns} Column */

/** @param {HTMLElement} place */
export function flowsView(place) {
  const create = button(T.list.create, { kind: "primary", onclick: () => (location.hash = "#/flows/create") });
  const trouble = errorLine();
  const content = h("div.filled", {}, h("p.muted", {}, h("span.spinner", { "aria-hidden": "true" }), T.loading));
  const preview = previewPanel();

  async function load() {
    try {
      const [flows, connections] = await Promise.all([readFlows(), readConnections()]);
      preview.know(flows, connections);
      if (flows.length) put(content, h("p.muted", {}, T.flows.intro), flowsTable(flows, connections));
      else {
        const title = h("h2", {}, T.flows.empty);
        put(content, h("section.empty.panel", {}, icon("broker", 40), title, h("p.muted", {}, T.flows.emptyText)));
      }
    } catch (problem) {
      put(content);
      trouble.show(problem.message);
    }
  }

  const title = h("h1", { tabindex: "-1" }, T.flows.title);
  put(place, h("div.title-row", {}, title, create), trouble.element, content, preview.element);
  load();
}

/** @param {Flow[]} flows @param {Connection[]} connections */
function flowsTable(flows, connections) {
  const names = new Map(connections.map(({ id, name }) => [id, name]));
  const heads = Object.entries(T.flows.columns).map(([name, text]) => h(`th.${name}`, { scope: "col" }, text));
  const head = h("thead", {}, h("tr", {}, heads));
  const body = h("tbody", {}, flows.map((each, index) => row(each, index + 1, names)));
  return h("div.table-scroll", {}, h("table.flows.stacked", {}, h("caption.spoken", {}, T.flows.table), head, body));
}

/** @param {Flow} flow @param {number} order @param {Map<string, string>} names */
function row({ id, name, description, active, matchers, connectors, driver }, order, names) {
  const targets = connectors.map(({ connectionId }) =>
    h("a", { href: `#/connections/${encodeURIComponent(connectionId)}` }, names.get(connectionId) || connectionId),
  );
  return h(
    "tr",
    {},
    h("td.order.number", {}, String(order)),
    h(
      "td.name",
      {},
      h("a", { href: address(id) }, name),
      !active && h("span.tag", {}, T.flows.inactive),
      description && h("span.muted.small", {}, description),
    ),
    cell("reports", matchers.length ? matchers.map(conditionLine) : T.flows.every),
    cell("connections", some(targets)),
    cell("driver", driver ? driverName(driver.id) : T.none),
  );
}

/** @param {Matcher} matcher @param {number} index */
const conditionLine = (matcher, index) =>
  index < SHOWN && h("div.condition", {}, index > 0 && h("span.muted", {}, T.flows.or), condition(matcher));

/** @param {string} id */
const driverName = (id) => (id === AUTOMATIC ? T.flows.automatic : h("span.mono", {}, id));

/** @param {HTMLElement[]} links */
function some(links) {
  const more = links.length - SHOWN;
  const shown = links.slice(0, SHOWN).map((each) => h("div", {}, each));
  return links.length ? [shown, more > 0 && T.flows.more(more)] : T.none;
}

/** @param {Column} column @param {Child} content */
const cell = (column, content) => h(`td.${column}`, { "data-label": T.flows.columns[column] }, h("div", {}, content));
