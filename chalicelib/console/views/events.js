/** The events of a connection, refreshed while the view is open. */

import { get, nextPage } from "../parts/api.js";
import { button, every, h, newId, put } from "../parts/dom.js";
import { moment, pretty } from "../parts/format.js";
import { T } from "../texts.js";

const SHOWN = 20;

/** @param {string} id */
export function eventsSection(id) {
  let level = "";
  /** @type {string | null} */
  let older = null;
  /** @type {Map<string, [HTMLElement, number]>} */
  let known = new Map();
  const levelId = newId("level");
  const select = h(
    "select",
    { id: levelId, onchange: choose },
    h("option", { value: "" }, T.events.allLevels),
    Object.entries(T.events.levels).map(([value, name]) => h("option", { value }, name)),
  );
  const list = h("ol.events", { "aria-label": T.events.list });
  const note = h("p.muted", {}, T.loading);
  const more = button(T.events.older, { kind: "small", hidden: true, onclick: loadOlder });
  const tool = h("div.tool.inline", {}, h("label", { for: levelId }, T.events.level), select);
  const head = h("div.title-row", {}, h("h2", {}, T.events.title), tool);
  const element = h("section.panel.history", {}, head, note, list, more);

  const first = () => `connections/${encodeURIComponent(id)}/events?limit=${SHOWN}${level ? `&level=${level}` : ""}`;

  function choose() {
    level = select.value;
    known = new Map();
    older = null;
    put(list);
    load();
  }

  /** Adds the newest events above the others, so that events that the user reads keep their place. */
  async function load() {
    const asked = level;
    try {
      const { json, headers } = await get(first());
      if (asked !== level) return;
      if (known.size === 0) older = nextPage(headers);
      list.prepend(...fresh(known, json));
      note.hidden = known.size > 0;
      note.textContent = T.events.empty;
    } catch (problem) {
      note.hidden = false;
      note.textContent = problem.message;
    }
    more.hidden = !older;
  }

  async function loadOlder() {
    if (!older) return;
    try {
      const { json, headers } = await get(older);
      const added = fresh(known, json);
      list.append(...added);
      older = nextPage(headers);
      added[0]?.querySelector("summary")?.focus();
    } catch (problem) {
      note.hidden = false;
      note.textContent = problem.message;
    }
    more.hidden = !older;
  }

  const stop = every(() => 5, element, load);
  load();
  return { element, load, stop };
}

/**
 * The rows of new events. A row whose event stands for more messages than before is replaced in its place.
 * @param {Map<string, [HTMLElement, number]>} known
 * @param {ConnectionEvent[]} events
 */
function fresh(known, events) {
  const rows = [];
  for (const each of events) {
    const [before, number] = known.get(each.id) || [null, 0];
    if (before && number === occurrences(each)) continue;
    const made = row(each);
    known.set(each.id, [made, occurrences(each)]);
    if (before) before.replaceWith(made);
    else rows.push(made);
  }
  return rows;
}

/**
 * The number of messages that an event stands for: it grows for a minute.
 * @param {ConnectionEvent} event
 */
function occurrences({ details }) {
  return Number(details?.count || 1);
}

/** @param {ConnectionEvent} event */
function row(event) {
  const { time, level, type, message, details } = event;
  const number = occurrences(event);
  const line = [
    h("time", { datetime: time }, moment(time)),
    h(`span.level.${level}`, {}, T.events.levels[level] || level),
    h("span.event-text", {}, number > 1 ? T.events.many(message, number) : message),
    h("code.event-type", {}, type),
  ];
  if (!details || Object.keys(details).length === 0) return h("li", {}, h("div.event", {}, line));
  return h("li", {}, h("details", {}, h("summary.event", {}, line), h("pre", {}, pretty(JSON.stringify(details)))));
}
