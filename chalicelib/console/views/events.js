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
  /** @type {Set<string>} */
  let known = new Set();
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
    known = new Set();
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
      list.prepend(...fresh(json));
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
      const added = fresh(json);
      list.append(...added);
      older = nextPage(headers);
      added[0]?.querySelector("summary")?.focus();
    } catch (problem) {
      note.hidden = false;
      note.textContent = problem.message;
    }
    more.hidden = !older;
  }

  /** @param {ConnectionEvent[]} events */
  function fresh(events) {
    const rows = events.filter((each) => !known.has(each.id)).map(row);
    for (const each of events) known.add(each.id);
    return rows;
  }

  const stop = every(() => 5, element, load);
  load();
  return { element, load, stop };
}

/** @param {ConnectionEvent} event */
function row({ time, level, type, message, details }) {
  const line = [
    h("time", { datetime: time }, moment(time)),
    h(`span.level.${level}`, {}, T.events.levels[level] || level),
    h("span.event-text", {}, message),
    h("code.event-type", {}, type),
  ];
  if (!details || Object.keys(details).length === 0) return h("li", {}, h("div.event", {}, line));
  return h("li", {}, h("details", {}, h("summary.event", {}, line), h("pre", {}, pretty(JSON.stringify(details)))));
}
