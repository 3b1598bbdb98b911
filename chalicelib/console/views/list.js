/** The list of connections: searched, sorted and paged here, read page by page from the API. */

import { get, nextPage } from "../parts/api.js";
import { button, every, h, icon, newId, put } from "../parts/dom.js";
import { FIRST, forgetFirst, takeFirst } from "../parts/first_page.js";
import { csv, day, download } from "../parts/format.js";
import { STATES, stateBadge } from "../parts/state.js";
import { hourOf, sparkline } from "../parts/sparklines.js";
import { T } from "../texts.js";

const SHOWN = 50;
const FETCHED = 100;
const COLUMNS = ["state", "name", "host", "devices", "uplinks", "added"];
const SORTED_BY = {
  state: (each) => STATES.indexOf(each.state),
  name: (each) => each.name.toLocaleLowerCase("en"),
  host: (each) => each.configuration.hostName,
  added: (each) => each.createdAt,
};

/** What the user looked at last, so that coming back shows it again. */
let view = freshView();
let connections = [];

function freshView() {
  return { search: "", state: "", sort: "", descending: false, page: 0 };
}

export function forgetList() {
  view = freshView();
  connections = [];
  forgetFirst();
}

const normal = (text) => text.toLocaleLowerCase("en");

function matching() {
  const wanted = normal(view.search.trim());
  const found = connections.filter(
    (each) =>
      (!view.state || each.state === view.state) &&
      (!wanted || normal(each.name).includes(wanted) || normal(each.id).includes(wanted)),
  );
  const by = SORTED_BY[view.sort];
  if (!by) return found;
  const sign = view.descending ? -1 : 1;
  return found
    .map((each) => [by(each), each])
    .sort(([a], [b]) => (a < b ? -sign : a > b ? sign : 0))
    .map(([, each]) => each);
}

export function listView(place) {
  let complete = false;
  const title = h("h1", {}, T.list.title);
  const create = button(T.list.create, { kind: "primary", onclick: () => (location.hash = "#/create") });
  const search = h("input", { id: newId("search"), type: "search", placeholder: T.list.searchHint, autocomplete: "off" });
  search.value = view.search;
  const state = h(
    "select",
    { id: newId("state") },
    h("option", { value: "" }, T.list.allStates),
    STATES.map((name) => h("option", { value: name }, name.replaceAll("_", " "))),
  );
  state.value = view.state;
  const count = h("p.muted.count", { "aria-live": "polite" });
  const body = h("tbody", {});
  const heads = COLUMNS.map(head);
  const table = h(
    "div.table-scroll",
    {},
    h("table.connections", {}, h("caption.spoken", {}, T.list.table), h("thead", {}, h("tr", {}, heads)), body),
  );
  const noMatch = h("p.nothing", { hidden: true }, T.list.noMatch, " ", button(T.list.clear, { kind: "small", onclick: clear }));
  const range = h("span.muted", {});
  const previous = button(T.list.previous, { icon: "left", quiet: true, onclick: () => turn(-1) });
  const next = button(T.list.next, { icon: "right", quiet: true, onclick: () => turn(1) });
  const pager = h("nav.pager", { "aria-label": T.list.title, hidden: true }, previous, range, next);
  const trouble = h("p.error", { role: "alert", hidden: true });
  const tools = h(
    "div.tools",
    { hidden: true },
    h("div.tool.grow", {}, h("label", { for: search.id }, T.list.search), search),
    h("div.tool", {}, h("label", { for: state.id }, T.list.state), state),
    button(T.list.csv, { onclick: save }),
  );
  const filled = h("div.filled", { hidden: true }, count, table, noMatch, pager);
  const empty = h("section.empty.panel", { hidden: true });
  const top = h("div.title-row", {}, title);

  search.addEventListener("input", () => ((view.search = search.value), (view.page = 0), draw()));
  state.addEventListener("change", () => ((view.state = state.value), (view.page = 0), draw()));

  function head(name) {
    if (!SORTED_BY[name]) return h(`th.${name}`, { scope: "col" }, T.list.columns[name]);
    return h(`th.${name}`, { scope: "col", "data-sort": name }, h("button.sort", { type: "button", onclick: () => sort(name) }, T.list.columns[name], icon("down", 14)));
  }

  function sort(name) {
    if (view.sort !== name) Object.assign(view, { sort: name, descending: false });
    else if (!view.descending) view.descending = true;
    else Object.assign(view, { sort: "", descending: false });
    view.page = 0;
    draw();
  }

  function turn(step) {
    view.page += step;
    draw();
    table.scrollIntoView({ block: "nearest" });
    for (const each of [previous, next]) if (each.disabled && document.activeElement === each) title.focus();
  }

  function clear() {
    Object.assign(view, { search: "", state: "", page: 0 });
    search.value = state.value = "";
    draw();
    search.focus();
  }

  function save() {
    const rows = matching().map((each) => [
      each.id, each.name, each.state, each.stateReason, each.active, each.configuration.hostName, each.configuration.protocol,
      each.configuration.exchangeName, each.createdAt, hourOf(each.id)?.activeDevices, hourOf(each.id)?.uplinks.delivered,
    ]);
    const names = ["id", "name", "state", "stateReason", "active", "hostName", "protocol", "exchangeName", "createdAt", "activeDevices", "uplinksLastHour"];
    download(T.list.csvName, "text/csv;charset=utf-8", csv([names, ...rows]));
  }

  function draw() {
    const none = complete && connections.length === 0;
    empty.hidden = !none;
    tools.hidden = filled.hidden = none || (!complete && connections.length === 0);
    // There is one Create: beside the title, or where the list would be.
    if (none && !empty.contains(create)) {
      put(empty, icon("broker", 40), h("h2", {}, T.list.emptyTitle), h("p.muted", {}, T.list.empty), create);
    } else if (!none && !top.contains(create)) top.append(create);
    const found = matching();
    view.page = Math.max(0, Math.min(view.page, Math.ceil(found.length / SHOWN) - 1));
    const from = view.page * SHOWN;
    const rows = found.slice(from, from + SHOWN);
    count.textContent = [T.list.count(found.length, connections.length), complete ? "" : T.list.more].filter(Boolean).join(" · ");
    drawRows(rows);
    noMatch.hidden = !complete || found.length > 0;
    table.hidden = found.length === 0;
    pager.hidden = found.length <= SHOWN;
    range.textContent = T.list.range(from + 1, from + rows.length, found.length);
    previous.disabled = from === 0;
    next.disabled = from + SHOWN >= found.length;
    for (const th of heads) {
      const order = th.dataset.sort === view.sort && view.sort ? (view.descending ? "descending" : "ascending") : null;
      if (order) th.setAttribute("aria-sort", order);
      else th.removeAttribute("aria-sort");
    }
  }

  /** Rows that are as they were stay the same elements: the focus may be in one. */
  let drawn = new Map();
  function drawRows(rows) {
    const before = drawn;
    drawn = new Map();
    const elements = rows.map((each) => {
      const face = [each.version, each.state, each.stateReason].join();
      const known = before.get(each.id);
      const kept = known?.face === face ? known : { face, element: row(each) };
      drawn.set(each.id, kept);
      return kept.element;
    });
    if (elements.length !== body.children.length || elements.some((each, index) => each !== body.children[index])) {
      const focused = document.activeElement?.closest?.("tr")?.dataset.id;
      put(body, elements);
      if (focused && drawn.has(focused)) drawn.get(focused).element.querySelector("a")?.focus();
    }
  }

  function row(each) {
    const { devices, uplinks } = sparkline(each.id);
    return h(
      "tr",
      { "data-id": each.id },
      h("td.state-cell", { title: each.stateReason }, stateBadge(each)),
      h("td.name", {}, h("a", { href: `#/connections/${encodeURIComponent(each.id)}` }, each.name), h("span.id", {}, each.id)),
      h("td.host", {}, h("span.mono", {}, each.configuration.hostName), " ", h("span.tag", {}, each.configuration.protocol)),
      h("td.devices", {}, devices),
      h("td.uplinks", {}, uplinks),
      h("td.added", {}, day(each.createdAt)),
    );
  }

  /** All pages, shown as they come; what is gone goes when the last one is there. */
  async function load() {
    let known = takeFirst();
    let path = `connections?limit=${connections.length ? FETCHED : FIRST}`;
    const fresh = [];
    const replace = connections.length === 0;
    try {
      while (path) {
        const { json, headers } = known || (await get(path));
        known = null;
        if (!table.isConnected) return;
        fresh.push(...json);
        path = nextPage(headers)?.replace(/([?&]limit=)\d+/, `$1${FETCHED}`);
        if (replace || !path) connections = [...fresh];
        complete ||= !path;
        draw();
      }
      trouble.hidden = true;
      waiting.remove();
    } catch (problem) {
      if (!table.isConnected) return;
      waiting.remove();
      put(trouble, icon("alert", 16), h("span", {}, problem.message), button(T.retry, { kind: "small", onclick: load }));
      trouble.hidden = false;
    }
  }

  const waiting = h("p.muted", {}, h("span.spinner", { "aria-hidden": "true" }), T.loading);
  title.tabIndex = -1;
  put(place, top, tools, trouble, connections.length ? [] : waiting, empty, filled);
  if (connections.length) {
    complete = true;
    draw();
  }
  load();
  return every(() => (connections.length > FETCHED ? 60 : 10), table, load);
}
