/** The table of the list: its sortable columns, its rows, and the selected connections. */

import { h, icon, put } from "../parts/dom.js";
import { ask, numberCells, redraw } from "../overview/numbers.js";
import { stateBadge } from "../parts/state.js";
import { T } from "../texts.js";

/** The columns that the API sorts, with its names of the orders. @type {Record<string, string>} */
const SORTED = { "state-cell": "state", name: "name", host: "host", since: "since" };
/** @typedef {import("../overview/numbers.js").Cells} Cells */

/**
 * @param {(order: string) => void} sort
 * @param {Map<string, string>} selected ids and names
 * @param {() => void} changed is called after a change of the selection
 */
export function connectionsTable(sort, selected, changed) {
  const body = h("tbody", {});
  const all = h("input", { type: "checkbox", "aria-label": T.list.selectAll, onchange: toggleAll });
  const heads = Object.entries(T.list.columns).map(([name, text]) => columnHead(name, text, sort));
  const head = h("tr", {}, h("th.pick", {}, all), heads);
  const element = h(
    "div.table-scroll",
    {},
    h("table.connections", {}, h("caption.spoken", {}, T.list.table), h("thead", {}, head), body),
  );
  const draw = rowsIn(body, selected, () => (mark(), changed()));
  /** @type {Connection[]} */
  let shown = [];

  function toggleAll() {
    for (const { id, name } of shown) {
      if (all.checked) selected.set(id, name);
      else selected.delete(id);
    }
    mark();
    changed();
  }

  /** Shows the selection in the rows. */
  function mark() {
    const picked = shown.filter(({ id }) => selected.has(id)).length;
    all.checked = picked > 0 && picked === shown.length;
    all.indeterminate = picked > 0 && picked < shown.length;
    for (const box of body.querySelectorAll("input")) box.checked = selected.has(box.value);
  }

  /** @param {Connection[]} rows @param {{sort: string, descending: boolean}} order */
  function update(rows, { sort: order, descending }) {
    shown = rows;
    draw(rows);
    mark();
    for (const th of heads) {
      const name = th.dataset.sort;
      if (name && name === order) th.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else th.removeAttribute("aria-sort");
    }
  }
  return { element, update, mark };
}

/** @param {string} name @param {string} text @param {(order: string) => void} sort */
function columnHead(name, text, sort) {
  const order = SORTED[name];
  if (!order) return h(`th.${name}`, { scope: "col" }, text);
  const control = h("button.sort", { type: "button", onclick: () => sort(order) }, text, icon("down", 14));
  return h(`th.${name}`, { scope: "col", "data-sort": order }, control);
}

/**
 * Draws rows. An unchanged row keeps its element, which may have the focus.
 * @param {HTMLElement} body @param {Map<string, string>} selected @param {() => void} changed
 */
function rowsIn(body, selected, changed) {
  /** @type {Map<string, {face: string, element: HTMLElement, cells: Cells}>} */
  let drawn = new Map();
  return (/** @type {Connection[]} */ rows) => {
    const before = drawn;
    drawn = new Map();
    const elements = rows.map((each) => {
      const face = [each.version, each.state, each.stateReason].join();
      const known = before.get(each.id);
      if (known?.face === face) {
        redraw(each.id, known.cells);
        ask(each.id, known.cells);
        drawn.set(each.id, known);
        return known.element;
      }
      const cells = numberCells(each.id);
      const element = row(each, cells, selected, changed);
      drawn.set(each.id, { face, element, cells });
      return element;
    });
    const same = elements.length === body.children.length && elements.every((each, n) => each === body.children[n]);
    if (same) return;
    const active = document.activeElement;
    const focused = active?.closest("tr")?.dataset.id;
    put(body, elements);
    if (focused) drawn.get(focused)?.element.querySelector(active instanceof HTMLInputElement ? "input" : "a")?.focus();
  };
}

/**
 * @param {Connection} connection @param {Cells} cells
 * @param {Map<string, string>} selected @param {() => void} changed
 */
function row(connection, cells, selected, changed) {
  const { id, name, configuration } = connection;
  const box = h("input", { type: "checkbox", value: id, "aria-label": T.list.select(name), onchange: pick });
  function pick() {
    if (box.checked) selected.set(id, name);
    else selected.delete(id);
    changed();
  }
  return h(
    "tr",
    { "data-id": id },
    h("td.pick", {}, box),
    h("td.state-cell", { title: connection.stateReason }, stateBadge(connection)),
    h("td.name", {}, h("a", { href: `#/connections/${encodeURIComponent(id)}` }, name), h("span.id", {}, id)),
    h("td.host", {}, h("span.mono", {}, configuration.hostName), " ", h("span.tag", {}, configuration.protocol)),
    h("td.devices", {}, cells.devices),
    h("td.uplinks", {}, cells.uplinks),
    h("td.waiting-number", { "data-label": T.list.columns["waiting-number"] }, cells.waiting),
    h("td.failed-number", { "data-label": T.list.columns["failed-number"] }, cells.failed),
    h("td.last", {}, cells.last),
    h("td.since", {}, cells.since),
  );
}
