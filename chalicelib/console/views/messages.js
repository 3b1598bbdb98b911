/** Messages that failed for good: looked at, replayed, purged. */

import { get, nextPage, post, remove } from "../parts/api.js";
import { confirm, notify, openDialog } from "../parts/dialog.js";
import { button, every, h, put, spoken } from "../parts/dom.js";
import { moment, pretty } from "../parts/format.js";
import { T } from "../texts.js";

const SHOWN = 20;

/** @param {string} id @param {() => void} moved is called when messages were put back or removed */
export function messagesSection(id, moved) {
  const base = `connections/${encodeURIComponent(id)}/messages`;
  const selected = new Set();
  let shown = [];
  let older = null;
  const waiting = h("p.waiting", { hidden: true });
  const note = h("p.muted", {}, T.loading);
  const body = h("tbody", {});
  const all = h("input", { type: "checkbox", title: T.messages.selectAll, onchange: selectAll });
  const heads = Object.entries(T.messages.columns).map(([name, text]) => h(`th.${name}`, { scope: "col" }, text));
  const table = h(
    "div.table-scroll",
    { hidden: true },
    h(
      "table.messages.stacked",
      {},
      h("caption.spoken", {}, T.messages.table),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("label.check", {}, all, spoken(T.messages.selectAll))), heads)),
      body,
    ),
  );
  const scope = h("span.muted.small", { "aria-live": "polite" });
  const actions = h(
    "div.row-actions",
    { hidden: true },
    button(T.messages.replay, { kind: "small", onclick: () => replay([...selected]) }),
    scope,
    button(T.messages.purge, { kind: "small plain", onclick: purge }),
  );
  const more = button(T.messages.older, { kind: "small", hidden: true, onclick: loadOlder });
  const element = h("section.panel", {}, h("h2", {}, T.messages.title), waiting, note, actions, table, more);

  async function load() {
    try {
      const { json, headers } = await get(`${base}?status=failed&limit=${SHOWN}`);
      const ids = json.map((each) => each.id).join();
      const known = shown.slice(0, json.length).map((each) => each.id).join();
      if (ids !== known || json.length === 0) {
        shown = json;
        older = nextPage(headers);
        draw();
      } else draw(false);
    } catch (problem) {
      note.hidden = false;
      note.textContent = problem.message;
    }
  }

  async function loadOlder() {
    try {
      const { json, headers } = await get(older);
      shown = [...shown, ...json];
      older = nextPage(headers);
      draw();
    } catch (problem) {
      notify(problem.message, "bad");
    }
  }

  function draw(rows = true) {
    const ids = new Set(shown.map((each) => each.id));
    for (const each of selected) if (!ids.has(each)) selected.delete(each);
    note.hidden = shown.length > 0;
    note.textContent = T.messages.empty;
    table.hidden = actions.hidden = shown.length === 0;
    more.hidden = !older;
    scope.textContent = selected.size ? T.messages.scope(selected.size) : T.messages.scopeAll;
    all.checked = shown.length > 0 && selected.size === shown.length;
    all.indeterminate = selected.size > 0 && !all.checked;
    if (rows) put(body, shown.map(row));
  }

  function row(message) {
    const device = message.devEUI || T.none;
    const box = h("input", { type: "checkbox", onchange: () => (selected[box.checked ? "add" : "delete"](message.id), draw(false)) });
    box.checked = selected.has(message.id);
    return h(
      "tr",
      {},
      h("td", {}, h("label.check", {}, box, spoken(T.messages.select(device, moment(message.time))))),
      h("td.time", {}, h("button.link", { type: "button", onclick: () => open(message) }, moment(message.time), spoken(` ${T.messages.open}`))),
      h("td", {}, T.messages.directions[message.direction] || message.direction),
      h("td.device.mono", {}, device),
      h("td.reason", {}, h("code", {}, message.reason), h("span.muted", {}, message.detail)),
      h("td.number", { "data-label": T.messages.columns.attempts }, String(message.attempts)),
    );
  }

  function selectAll() {
    selected.clear();
    if (all.checked) for (const each of shown) selected.add(each.id);
    draw();
  }

  async function open(message) {
    const facts = [
      [T.messages.columns.time, moment(message.time)],
      [T.messages.columns.direction, T.messages.directions[message.direction] || message.direction],
      [T.messages.columns.device, message.devEUI || T.none],
      [T.messages.reason, `${message.reason} – ${message.detail}`],
      [T.messages.routingKey, message.routingKey || T.none],
      [T.messages.columns.attempts, String(message.attempts)],
    ];
    const again = await openDialog(
      T.messages.openTitle,
      (close) => ({
        body: [
          h("dl.facts", {}, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
          h("h3", {}, T.messages.body),
          h("pre", { tabindex: "0" }, pretty(message.body)),
        ],
        actions: [button(T.close, { onclick: () => close() }), button(T.messages.replay, { kind: "primary", onclick: () => close(true) })],
      }),
      { wide: true },
    );
    if (again) await replay([message.id]);
  }

  async function replay(ids) {
    // What is all on the screen needs no question: what fails again comes back here.
    if (ids.length === 0 && older && !(await confirm(T.messages.replayTitle, T.messages.replayText, { action: T.messages.replay }))) return;
    await attempt(T.messages.replayMissing, async () => {
      const { json } = await post(`${base}/replay`, ids.length ? { ids } : { all: true });
      notify(T.messages.replayed(json.replayed));
    });
  }

  async function purge() {
    const options = { action: T.messages.purge, danger: true };
    if (!(await confirm(T.messages.purgeTitle, T.messages.purgeText, options))) return;
    await attempt(T.messages.purgeMissing, async () => {
      await remove(`${base}?status=failed`);
      notify(T.messages.purged);
    });
  }

  async function attempt(missing, action) {
    try {
      await action();
    } catch (problem) {
      notify(problem.missing ? missing : problem.message, "bad");
      return;
    }
    selected.clear();
    await load();
    moved();
  }

  const stop = every(() => 10, element, load);
  load();
  return {
    element,
    load,
    stop,
    /** The number that waits for the broker, which the statistics know. */
    tellWaiting(count) {
      waiting.hidden = !count;
      waiting.textContent = count ? T.messages.waiting(count) : "";
    },
  };
}
