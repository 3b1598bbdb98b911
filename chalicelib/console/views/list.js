/** The list of connections: read page by page from the API; searched, sorted and paged here. */

import { get, nextPage } from "../parts/api.js";
import { button, every, h, icon, newId, put } from "../parts/dom.js";
import { FIRST, forgetFirst, takeFirst } from "../parts/first_page.js";
import { csv, download } from "../parts/format.js";
import { hourOf } from "../parts/sparklines.js";
import { STATES } from "../parts/state.js";
import { COLUMNS, connectionsTable } from "./list_table.js";
import { T } from "../texts.js";

const SHOWN = 50;
const FETCHED = 100;

/** The user's search, order and page. They are kept while the user visits another view. */
let view = freshView();
/** @type {Connection[]} */
let connections = [];

function freshView() {
  return { search: "", state: "", sort: "", descending: false, page: 0 };
}

export function forgetList() {
  view = freshView();
  connections = [];
  forgetFirst();
}

/** @param {string} text */
const normal = (text) => text.toLocaleLowerCase("en");

/** The connections that the user searches, in the wanted order. */
function matching() {
  const wanted = normal(view.search.trim());
  const found = connections.filter(
    (each) =>
      (!view.state || each.state === view.state) &&
      (!wanted || normal(each.name).includes(wanted) || normal(each.id).includes(wanted)),
  );
  const by = COLUMNS[view.sort];
  if (!by) return found;
  const sign = view.descending ? -1 : 1;
  return found
    .map((each) => ({ key: by(each), each }))
    .sort((a, b) => (a.key < b.key ? -sign : a.key > b.key ? sign : 0))
    .map(({ each }) => each);
}

/** @param {HTMLElement} place */
export function listView(place) {
  let complete = false;
  const title = h("h1", { tabindex: "-1" }, T.list.title);
  const create = button(T.list.create, { kind: "primary", onclick: () => (location.hash = "#/create") });
  const top = h("div.title-row", {}, title);
  const tools = listTools(draw);
  const count = h("p.muted.count", { "aria-live": "polite" });
  const table = connectionsTable(sort);
  const clear = button(T.list.clear, { kind: "small", onclick: () => (tools.clear(), draw(), tools.focus()) });
  const noMatch = h("p.nothing", { hidden: true }, T.list.noMatch, " ", clear);
  const pager = listPager((step) => {
    view.page += step;
    draw();
    table.element.scrollIntoView({ block: "nearest" });
    if (!pager.keepsFocus()) title.focus();
  });
  const filled = h("div.filled", { hidden: true }, count, table.element, noMatch, pager.element);
  const empty = h("section.empty.panel", { hidden: true });
  const trouble = h("p.error", { role: "alert", hidden: true });
  const waiting = h("p.muted", {}, h("span.spinner", { "aria-hidden": "true" }), T.loading);

  /** @param {string} name */
  function sort(name) {
    if (view.sort !== name) Object.assign(view, { sort: name, descending: false });
    else if (!view.descending) view.descending = true;
    else Object.assign(view, { sort: "", descending: false });
    view.page = 0;
    draw();
  }

  function draw() {
    const none = complete && connections.length === 0;
    empty.hidden = !none;
    tools.element.hidden = filled.hidden = connections.length === 0;
    placeCreate(none);
    const found = matching();
    view.page = Math.max(0, Math.min(view.page, Math.ceil(found.length / SHOWN) - 1));
    const from = view.page * SHOWN;
    const rows = found.slice(from, from + SHOWN);
    const counted = T.list.count(found.length, connections.length);
    count.textContent = [counted, complete ? "" : T.list.more].filter(Boolean).join(" · ");
    table.update(rows, view);
    noMatch.hidden = !complete || found.length > 0;
    table.element.hidden = found.length === 0;
    pager.update(from, rows.length, found.length);
  }

  /** The button Create is beside the title, or in the place of an empty list. @param {boolean} none */
  function placeCreate(none) {
    if (none && !empty.contains(create)) {
      put(empty, icon("broker", 40), h("h2", {}, T.list.emptyTitle), h("p.muted", {}, T.list.empty), create);
    } else if (!none && !top.contains(create)) top.append(create);
  }

  async function load() {
    try {
      for await (const last of readPages(() => table.element.isConnected)) {
        complete ||= last;
        draw();
      }
      trouble.hidden = true;
    } catch (problem) {
      if (!table.element.isConnected) return;
      const again = button(T.retry, { kind: "small", onclick: load });
      put(trouble, icon("alert", 16), h("span", {}, problem.message), again);
      trouble.hidden = false;
    }
    waiting.remove();
  }

  put(place, top, tools.element, trouble, connections.length ? [] : waiting, empty, filled);
  if (connections.length) {
    complete = true;
    draw();
  }
  load();
  return every(() => (connections.length > FETCHED ? 60 : 10), table.element, load);
}

/**
 * Reads all pages into `connections`. The first read shows each page when it arrives; a refresh replaces the list at
 * its end, so that deleted connections disappear then. Yields whether the page was the last one.
 * @param {() => boolean} wanted whether the view is still open
 */
async function* readPages(wanted) {
  let known = takeFirst();
  /** @type {string | null | undefined} */
  let path = `connections?limit=${connections.length ? FETCHED : FIRST}`;
  /** @type {Connection[]} */
  const fresh = [];
  const growing = connections.length === 0;
  while (path) {
    /** @type {Answer} */
    const { json, headers } = known || (await get(path));
    known = null;
    if (!wanted()) return;
    fresh.push(...json);
    path = nextPage(headers)?.replace(/([?&]limit=)\d+/, `$1${FETCHED}`);
    if (growing || !path) connections = [...fresh];
    yield !path;
  }
}

/** Search, filter and the CSV button. @param {() => void} draw */
function listTools(draw) {
  const searchId = newId("search");
  const stateId = newId("state");
  const search = h("input", { id: searchId, type: "search", placeholder: T.list.searchHint, autocomplete: "off" });
  const state = h(
    "select",
    { id: stateId },
    h("option", { value: "" }, T.list.allStates),
    STATES.map((name) => h("option", { value: name }, name.replaceAll("_", " "))),
  );
  search.value = view.search;
  state.value = view.state;
  search.addEventListener("input", () => (Object.assign(view, { search: search.value, page: 0 }), draw()));
  state.addEventListener("change", () => (Object.assign(view, { state: state.value, page: 0 }), draw()));
  const element = h(
    "div.tools",
    { hidden: true },
    h("div.tool.grow", {}, h("label", { for: searchId }, T.list.search), search),
    h("div.tool", {}, h("label", { for: stateId }, T.list.state), state),
    button(T.list.csv, { onclick: saveCsv }),
  );
  function clear() {
    Object.assign(view, { search: "", state: "", page: 0 });
    search.value = state.value = "";
  }
  return { element, clear, focus: () => search.focus() };
}

/** Previous page, range, next page. @param {(step: number) => void} turn */
function listPager(turn) {
  const range = h("span.muted", {});
  const previous = button(T.list.previous, { icon: "left", quiet: true, onclick: () => turn(-1) });
  const next = button(T.list.next, { icon: "right", quiet: true, onclick: () => turn(1) });
  const element = h("nav.pager", { "aria-label": T.list.title, hidden: true }, previous, range, next);

  /** @param {number} from @param {number} shown @param {number} all */
  function update(from, shown, all) {
    element.hidden = all <= SHOWN;
    range.textContent = T.list.range(from + 1, from + shown, all);
    previous.disabled = from === 0;
    next.disabled = from + SHOWN >= all;
  }
  /** Whether the focus is not on a button that is disabled. */
  const keepsFocus = () => [previous, next].every((each) => !each.disabled || document.activeElement !== each);
  return { element, update, keepsFocus };
}

function saveCsv() {
  const names = [
    "id", "name", "state", "stateReason", "active", "hostName", "protocol", "exchangeName", "createdAt",
    "activeDevices", "uplinksLastHour",
  ];
  const rows = matching().map(({ id, name, state, stateReason, active, createdAt, configuration }) => [
    id, name, state, stateReason, active, configuration.hostName, configuration.protocol, configuration.exchangeName,
    createdAt, hourOf(id)?.activeDevices, hourOf(id)?.uplinks.delivered,
  ]);
  download(T.list.csvName, "text/csv;charset=utf-8", csv([names, ...rows]));
}
