/** The list of connections: the API filters, sorts and pages it; the address keeps what the user wants to see. */

import { get } from "../parts/api.js";
import { errorLine } from "../parts/dialog.js";
import { button, every, h, icon, put } from "../parts/dom.js";
import { FIRST, WORST, first } from "../parts/first_page.js";
import { onSignOut } from "../parts/forget.js";
import { readQuery, writeQuery } from "../parts/query.js";
import { listTools } from "./list_tools.js";
import { connectionsTable } from "./list_table.js";
import { T } from "../texts.js";

const SHOWN = 50;
const SECONDS = 10;
const WORST_FIRST = "worst";

/** The selected connections, ids and names. They stay selected while the user visits other pages of the list. */
const selected = /** @type {Map<string, string>} */ (new Map());
onSignOut(() => selected.clear());

/**
 * @typedef {object} Wanted
 * @property {string} q
 * @property {string} state with commas between several, as `protocol` and `cause`
 * @property {string} protocol
 * @property {string} cause
 * @property {string} sort
 * @property {boolean} descending
 * @property {number} page from 0
 */

/** @returns {Wanted} */
function wantedByAddress() {
  const query = readQuery();
  const text = (/** @type {string} */ name) => query.get(name) ?? "";
  return {
    q: text("q"), state: text("state"), protocol: text("protocol"), cause: text("cause"),
    sort: text("sort") || WORST_FIRST, descending: text("descending") === "true",
    page: Math.max(0, (Number.parseInt(text("page"), 10) || 1) - 1),
  };
}

/** The parameters of the list without its page. @param {Wanted} wanted */
function parameters({ q, state, protocol, cause, sort, descending }) {
  return { sort, q: q.trim(), state, protocol, cause, descending: descending ? "true" : "" };
}

/** The view of the list alone. @param {HTMLElement} place */
export function listView(place) {
  const list = listSection("h1", SHOWN);
  put(place, list.element);
  return list.start();
}

/**
 * The list with its tools.
 * @param {"h1" | "h2"} level of its heading @param {number} shown rows of a page
 */
export function listSection(level, shown) {
  const wanted = wantedByAddress();
  let total = 0;
  let turn = 0;
  const title = h(level, { tabindex: "-1" }, T.list.title);
  const top = h("div.title-row", {}, title);
  const tools = listTools(wanted, { typed: wait, changed: () => ((wanted.page = 0), change()) }, () => readAll(wanted));
  const count = h("p.muted.count", { "aria-live": "polite" });
  const table = connectionsTable(sort, selected, () => bulk.update());
  const bulk = bulkBar(() => (table.mark(), load()), () => (table.mark(), bulk.update()));
  const clear = button(T.list.clear, { kind: "small", onclick: () => (tools.clear(), tools.focus()) });
  const noMatch = h("p.nothing", { hidden: true }, T.list.noMatch, " ", clear);
  const pager = listPager(shown, (step) => {
    wanted.page += step;
    change().then(() => table.element.scrollIntoView({ block: "nearest" }));
    if (!pager.keepsFocus()) title.focus();
  });
  const filled = h("div.filled", { hidden: true }, count, bulk.element, table.element, noMatch, pager.element);
  const empty = h("section.empty.panel", { hidden: true });
  const placeCreate = createButton(top, empty);
  const trouble = errorLine();
  const waiting = h("p.muted", {}, h("span.spinner", { "aria-hidden": "true" }), T.loading);
  const element = h("div.list", {}, top, tools.element, trouble.element, waiting, empty, filled);

  /** @param {string} name */
  function sort(name) {
    Object.assign(wanted, orderAfter(wanted, name), { page: 0 });
    change();
  }

  /** Shows that the rows are those of earlier filters, and stops refreshes until the list has been read. */
  function wait() {
    element.setAttribute("aria-busy", "true");
  }

  const change = () => (wait(), load());

  /** @param {Connection[]} rows */
  function draw(rows) {
    const filtered = tools.isFiltered();
    const none = total === 0 && !filtered;
    empty.hidden = !none;
    tools.element.hidden = filled.hidden = none;
    placeCreate(none);
    count.textContent = filtered ? T.list.matching(total) : T.list.count(total);
    table.update(rows, wanted);
    noMatch.hidden = total > 0;
    table.element.hidden = total === 0;
    pager.update(wanted.page * shown, rows.length, total);
    bulk.update();
  }

  /** @returns {Promise<void>} */
  async function load() {
    turn += 1;
    const mine = turn;
    if (element.isConnected) writeAddress(wanted);
    try {
      const found = await readPage(wanted, shown);
      // A later call has begun, or another view is open.
      if (mine !== turn || !element.isConnected) return;
      total = found.total;
      wanted.page = found.page;
      writeAddress(wanted);
      draw(found.rows);
      trouble.show("");
    } catch (problem) {
      if (mine !== turn || !element.isConnected) return;
      trouble.show(problem.message);
      trouble.element.append(button(T.retry, { kind: "small", onclick: load }));
    }
    element.removeAttribute("aria-busy");
    waiting.remove();
  }

  const start = () => (load(), every(() => SECONDS, element, load));
  return { element, start, load };
}

/**
 * The order after a click on the head of a column: upwards, downwards, then the worst first.
 * @param {Wanted} wanted @param {string} name
 */
function orderAfter({ sort, descending }, name) {
  if (sort !== name) return { sort: name, descending: false };
  return descending ? { sort: WORST_FIRST, descending: false } : { sort, descending: true };
}

/**
 * The rows of a page, or of the last page if there are fewer.
 * @param {Wanted} wanted @param {number} shown
 * @returns {Promise<{rows: Connection[], total: number, page: number}>}
 */
async function readPage(wanted, shown) {
  const { json, headers } = await first(pathFor(wanted, shown));
  const total = Number(headers.get("Total-Count") ?? json.length);
  const last = Math.max(0, Math.ceil(total / shown) - 1);
  if (wanted.page > last) return readPage({ ...wanted, page: last }, shown);
  return { rows: json, total, page: wanted.page };
}

/** @param {Wanted} wanted */
function writeAddress(wanted) {
  const { sort, ...given } = parameters(wanted);
  writeQuery({ ...given, sort: sort === WORST_FIRST ? "" : sort, page: wanted.page ? wanted.page + 1 : "" });
}

/**
 * The button Create: beside the title, or in the place of an empty list.
 * @param {HTMLElement} top @param {HTMLElement} empty
 */
function createButton(top, empty) {
  const create = button(T.list.create, { kind: "primary", onclick: () => (location.hash = "#/create") });
  const transfer = h("a.button", { href: "#/configuration" }, T.transfer.link);
  const both = h("div.actions", {}, transfer, create);
  return (/** @type {boolean} */ none) => {
    if (none && !empty.contains(both)) {
      put(empty, icon("broker", 40), h("h2", {}, T.list.emptyTitle), h("p.muted", {}, T.list.empty), both);
    } else if (!none && !top.contains(both)) top.append(both);
  };
}

/** @param {Wanted} wanted @param {number} shown */
function pathFor(wanted, shown) {
  const { sort, ...filters } = parameters(wanted);
  const given = Object.entries(filters).filter(([, value]) => value);
  const offset = wanted.page ? [["offset", String(wanted.page * shown)]] : [];
  const query = new URLSearchParams([["sort", sort], ["limit", String(shown)], ...given, ...offset]);
  const path = `connections?${query}`;
  return shown === FIRST && path === `connections?sort=worst&limit=${FIRST}` ? WORST : path;
}

/** All connections that match, page by page. @param {Wanted} wanted @returns {Promise<Connection[]>} */
async function readAll(wanted) {
  const all = [];
  for (let page = 0; ; page += 1) {
    const { json, headers } = await get(pathFor({ ...wanted, page }, 100));
    all.push(...json);
    if (!json.length || all.length >= Number(headers.get("Total-Count"))) return all;
  }
}

/**
 * The actions on the selected connections. They are loaded when the user calls one.
 * @param {() => void} done @param {() => void} cleared
 */
function bulkBar(done, cleared) {
  const count = h("strong", {});
  const action = (/** @type {import("../overview/bulk.js").Action} */ name, kind = "small") =>
    button(T.bulk.actions[name], {
      kind,
      onclick: async () => {
        const { runAction } = await import("../overview/bulk.js");
        if (await runAction(name, selected)) done();
      },
    });
  const element = h(
    "div.bulk.panel",
    { role: "group", "aria-label": T.bulk.title, hidden: true },
    count,
    action("restart"), action("activate"), action("deactivate"), action("test"), action("export"),
    action("delete", "danger small"),
    button(T.bulk.clear, { kind: "plain small", onclick: () => (selected.clear(), cleared()) }),
  );
  function update() {
    element.hidden = selected.size === 0;
    count.textContent = T.bulk.selected(selected.size);
  }
  return { element, update };
}

/** Previous page, range, next page. @param {number} shown @param {(step: number) => void} turn */
function listPager(shown, turn) {
  const range = h("span.muted", {});
  const previous = button(T.list.previous, { icon: "left", quiet: true, onclick: () => turn(-1) });
  const next = button(T.list.next, { icon: "right", quiet: true, onclick: () => turn(1) });
  const element = h("nav.pager", { "aria-label": T.list.title, hidden: true }, previous, range, next);

  /** @param {number} from @param {number} rows @param {number} all */
  function update(from, rows, all) {
    element.hidden = all <= shown;
    range.textContent = T.list.range(from + 1, from + rows, all);
    previous.disabled = from === 0;
    next.disabled = from + shown >= all;
  }
  /** Whether the focus is not on a button that is disabled. */
  const keepsFocus = () => [previous, next].every((each) => !each.disabled || document.activeElement !== each);
  return { element, update, keepsFocus };
}

