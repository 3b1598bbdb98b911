/** The table of the list: its sortable columns and its rows. */

import { h, icon, put } from "../parts/dom.js";
import { day } from "../parts/format.js";
import { sparkline } from "../parts/sparklines.js";
import { STATES, stateBadge } from "../parts/state.js";
import { T } from "../texts.js";

/**
 * The columns, and the sort keys of those that can be sorted.
 * @type {Record<string, null | ((each: Connection) => any)>}
 */
export const COLUMNS = {
  state: (each) => STATES.indexOf(each.state),
  name: (each) => each.name.toLocaleLowerCase("en"),
  host: (each) => each.configuration.hostName,
  devices: null,
  uplinks: null,
  added: (each) => each.createdAt,
};

/** @param {(column: string) => void} sort */
export function connectionsTable(sort) {
  const body = h("tbody", {});
  const heads = Object.entries(T.list.columns).map(([name, text]) => columnHead(name, text, sort));
  const element = h(
    "div.table-scroll",
    {},
    h("table.connections", {}, h("caption.spoken", {}, T.list.table), h("thead", {}, h("tr", {}, heads)), body),
  );
  const drawRows = rowsIn(body);

  /** @param {Connection[]} rows @param {{sort: string, descending: boolean}} order */
  function update(rows, { sort: column, descending }) {
    drawRows(rows);
    for (const th of heads) {
      if (column && th.dataset.sort === column) th.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else th.removeAttribute("aria-sort");
    }
  }
  return { element, update };
}

/** @param {string} name @param {string} text @param {(column: string) => void} sort */
function columnHead(name, text, sort) {
  if (!COLUMNS[name]) return h(`th.${name}`, { scope: "col" }, text);
  const control = h("button.sort", { type: "button", onclick: () => sort(name) }, text, icon("down", 14));
  return h(`th.${name}`, { scope: "col", "data-sort": name }, control);
}

/** Draws rows. An unchanged row keeps its element, which may have the focus. @param {HTMLElement} body */
function rowsIn(body) {
  /** @type {Map<string, {face: string, element: HTMLElement}>} */
  let drawn = new Map();
  return (/** @type {Connection[]} */ rows) => {
    const before = drawn;
    drawn = new Map();
    const elements = rows.map((each) => {
      const face = [each.version, each.state, each.stateReason].join();
      const known = before.get(each.id);
      const kept = known?.face === face ? known : { face, element: row(each) };
      drawn.set(each.id, kept);
      return kept.element;
    });
    const same = elements.length === body.children.length && elements.every((each, n) => each === body.children[n]);
    if (same) return;
    const focused = document.activeElement?.closest("tr")?.dataset.id;
    put(body, elements);
    if (focused) drawn.get(focused)?.element.querySelector("a")?.focus();
  };
}

/** @param {Connection} connection */
function row(connection) {
  const { id, name, createdAt, configuration } = connection;
  const { devices, uplinks } = sparkline(id);
  return h(
    "tr",
    { "data-id": id },
    h("td.state-cell", { title: connection.stateReason }, stateBadge(connection)),
    h("td.name", {}, h("a", { href: `#/connections/${encodeURIComponent(id)}` }, name), h("span.id", {}, id)),
    h("td.host", {}, h("span.mono", {}, configuration.hostName), " ", h("span.tag", {}, configuration.protocol)),
    h("td.devices", {}, devices),
    h("td.uplinks", {}, uplinks),
    h("td.added", {}, day(createdAt)),
  );
}
