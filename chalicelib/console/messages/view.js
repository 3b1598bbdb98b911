/** What became of messages: a search, a history of each message, and replay. */

import { get, nextPage } from "../parts/api.js";
import { curlButton } from "../calls/curl.js";
import { errorLine } from "../parts/dialog.js";
import { button, every, h, icon, put } from "../parts/dom.js";
import { C } from "../texts/curl.js";
import { M } from "../texts/messages.js";
import { bulkPanel } from "./bulk.js";
import { filterForm } from "./filters.js";
import { connectionNames } from "./history.js";
import { messageList } from "./list.js";

const SHOWN = 50;
const SECONDS = 5;

/**
 * Loads what the view needs and returns the function that shows it.
 * @param {string} query the filters, as in the address of the view
 */
export async function loadMessages(query) {
  const [names] = await Promise.all([connectionNames(), styled()]);
  return (/** @type {HTMLElement} */ place) => messagesView(place, query, names);
}

/** @param {HTMLElement} place @param {string} query @param {Map<string, string>} names of the connections */
function messagesView(place, query, names) {
  const filters = filterForm(new URLSearchParams(query), names, () => {
    const wanted = filters.values().toString();
    window.history.replaceState(null, "", `#/messages${wanted ? `?${wanted}` : ""}`);
    results.start();
  });
  const results = searchResults(names, filters.values);
  put(
    place,
    h("div.title-row", {}, h("h1", {}, M.title), curlButton(C.title, () => searchCall(filters.values()))),
    h("p.muted", {}, M.intro),
    filters.element,
    results.element,
    bulkPanel(filters.values, results.refresh),
  );
  results.start();
  return every(() => SECONDS, results.element, results.refresh);
}

/** @param {URLSearchParams} wanted */
function searchCall(wanted) {
  wanted.set("limit", String(SHOWN));
  return { method: "GET", path: `messages?${wanted}` };
}

/** Loads the style sheet of this view once. */
function styled() {
  const href = new URL("../styles/messages.css", import.meta.url).href;
  if (document.querySelector(`link[href="${href}"]`)) return Promise.resolve();
  return new Promise((resolve) => {
    document.head.append(h("link", { rel: "stylesheet", href, onload: resolve, onerror: resolve }));
  });
}

/** @param {Map<string, string>} names of the connections @param {() => URLSearchParams} filters */
function searchResults(names, filters) {
  /** @type {string | null} */
  let older = null;
  let search = 0;
  const refresh = () => load(false);
  const list = messageList(names, refresh);
  const note = h("p.muted.small", { "aria-live": "polite" });
  const trouble = errorLine();
  const nothing = h("div", { hidden: true });
  const more = button(M.older, { kind: "small", hidden: true, onclick: loadOlder });

  function start() {
    search += 1;
    older = null;
    more.hidden = nothing.hidden = true;
    list.clear();
    note.textContent = M.searching;
    return load(true);
  }

  /** Reads the newest messages. @param {boolean} first whether the older pages are unknown */
  async function load(first) {
    const asked = search;
    try {
      const { json, headers } = await get(searchCall(filters()).path);
      if (asked !== search) return;
      if (first) older = nextPage(headers);
      list.show(json);
      trouble.show("");
    } catch (problem) {
      if (asked === search) trouble.show(problem.message);
    }
    // A search ends after some seconds, so an empty page can have a next one.
    while (first && older && !list.size() && asked === search) await loadOlder();
    draw();
  }

  async function loadOlder() {
    const asked = search;
    if (!older) return;
    try {
      const { json, headers } = await get(older);
      if (asked !== search) return;
      older = nextPage(headers);
      list.show(json);
    } catch (problem) {
      trouble.show(problem.message);
      if (!list.size()) older = null;
    }
    draw();
  }

  function draw() {
    more.hidden = !older;
    note.textContent = list.size() ? M.found(list.size(), Boolean(older)) : "";
    nothing.hidden = list.size() > 0 || Boolean(older) || !trouble.element.hidden;
    if (!nothing.hidden) put(nothing, filters().size ? h("p.nothing", {}, M.nothing) : emptyNote());
  }
  const element = h("section.filled", {}, trouble.element, note, list.element, nothing, h("div", {}, more));
  return { element, start, refresh };
}

const emptyNote = () =>
  h("section.empty.panel", {}, icon("broker", 40), h("h2", {}, M.empty), h("p.muted", {}, M.emptyText));
