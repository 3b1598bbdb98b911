/** Failed messages: read, replayed, purged. */

import { get, nextPage, post, remove } from "../parts/api.js";
import { confirm, notify, openDialog } from "../parts/dialog.js";
import { button, every, h, put, spoken } from "../parts/dom.js";
import { moment, pretty } from "../parts/format.js";
import { T } from "../texts.js";

const SHOWN = 20;

/** @param {string} id @param {() => void} moved is called after messages were put back or removed */
export function messagesSection(id, moved) {
  const base = `connections/${encodeURIComponent(id)}/messages`;
  /** @type {FailedMessage[]} */
  let shown = [];
  /** @type {string | null} */
  let older = null;
  const waiting = h("p.waiting", { hidden: true });
  const note = h("p.muted", {}, T.loading);
  const table = messagesTable(async (message) => {
    if (await messageDialog(message)) await replay([message.id]);
  }, drawTools);
  const scope = h("span.muted.small", { "aria-live": "polite" });
  const replay = (/** @type {string[]} */ ids) => replayMessages(base, ids, older !== null, reload);
  const actions = h(
    "div.row-actions",
    { hidden: true },
    button(T.messages.replay, { kind: "small", onclick: () => replay(table.selected()) }),
    scope,
    button(T.messages.purge, { kind: "small plain", onclick: () => purgeMessages(base, reload) }),
  );
  const more = button(T.messages.older, { kind: "small", hidden: true, onclick: loadOlder });
  const title = h("h2", {}, T.messages.title);
  const element = h("section.panel", {}, title, waiting, note, actions, table.element, more);

  async function load() {
    try {
      const { json, headers } = await get(`${base}?status=failed&limit=${SHOWN}`);
      const same = idsOf(json) === idsOf(shown.slice(0, json.length)) && json.length > 0;
      if (!same) {
        shown = json;
        older = nextPage(headers);
        table.update(shown);
      }
      drawTools();
    } catch (problem) {
      note.hidden = false;
      note.textContent = problem.message;
    }
  }

  async function loadOlder() {
    if (!older) return;
    try {
      const { json, headers } = await get(older);
      shown = [...shown, ...json];
      older = nextPage(headers);
      table.update(shown);
      drawTools();
    } catch (problem) {
      notify(problem.message, "bad");
    }
  }

  function drawTools() {
    const selected = table.selected().length;
    note.hidden = shown.length > 0;
    note.textContent = T.messages.empty;
    table.element.hidden = actions.hidden = shown.length === 0;
    more.hidden = !older;
    scope.textContent = selected ? T.messages.scope(selected) : T.messages.scopeAll;
  }

  async function reload() {
    table.clearSelection();
    await load();
    moved();
  }

  const stop = every(() => 10, element, load);
  load();
  return {
    element,
    stop,
    /** Shows the number of queued messages, which the statistics have. @param {number} count */
    setWaiting(count) {
      waiting.hidden = !count;
      waiting.textContent = count ? T.messages.waiting(count) : "";
    },
  };
}

/**
 * @param {string} base @param {string[]} ids all messages if it is empty
 * @param {boolean} more whether there are messages that are not shown @param {() => Promise<void>} done
 */
async function replayMessages(base, ids, more, done) {
  // Shown messages need no question: a message that fails again is listed again.
  const ask = () => confirm(T.messages.replayTitle, T.messages.replayText, { action: T.messages.replay });
  if (ids.length === 0 && more && !(await ask())) return;
  await attempt(T.messages.replayMissing, done, async () => {
    const { json } = await post(`${base}/replay`, ids.length ? { ids } : { all: true });
    const rest = json.underWay ? T.messages.replayUnderWay : json.remaining ? T.messages.replayRemaining : "";
    notify([T.messages.replayed(json.replayed), rest].filter(Boolean).join(" "));
  });
}

/** @param {string} base @param {() => Promise<void>} done */
async function purgeMessages(base, done) {
  const options = { action: T.messages.purge, danger: true };
  if (!(await confirm(T.messages.purgeTitle, T.messages.purgeText, options))) return;
  await attempt(T.messages.purgeMissing, done, async () => {
    await remove(`${base}?status=failed`);
    notify(T.messages.purged);
  });
}

/**
 * @param {string} missing the sentence if the server does not have the route
 * @param {() => Promise<void>} done @param {() => Promise<void>} action
 */
async function attempt(missing, done, action) {
  try {
    await action();
  } catch (problem) {
    notify(problem.missing ? missing : problem.message, "bad");
    return;
  }
  await done();
}

/** @param {FailedMessage[]} messages */
const idsOf = (messages) => messages.map((each) => each.id).join();

/** @param {FailedMessage} message */
const directionOf = ({ direction }) => T.messages.directions[direction] || direction;

/**
 * The table of failed messages, with a checkbox in each row.
 * @param {(message: FailedMessage) => void} open @param {() => void} selectionChanged
 */
function messagesTable(open, selectionChanged) {
  /** @type {Set<string>} */
  const selected = new Set();
  /** @type {FailedMessage[]} */
  let shown = [];
  const body = h("tbody", {});
  const all = h("input", { type: "checkbox", title: T.messages.selectAll, onchange: selectAll });
  const selectHead = h("th", { scope: "col" }, h("label.check", {}, all, spoken(T.messages.selectAll)));
  const heads = Object.entries(T.messages.columns).map(([name, text]) => h(`th.${name}`, { scope: "col" }, text));
  const caption = h("caption.spoken", {}, T.messages.table);
  const head = h("thead", {}, h("tr", {}, selectHead, heads));
  const element = h("div.table-scroll", { hidden: true }, h("table.messages.stacked", {}, caption, head, body));

  function drawSelection() {
    all.checked = shown.length > 0 && selected.size === shown.length;
    all.indeterminate = selected.size > 0 && !all.checked;
    selectionChanged();
  }

  /** @param {FailedMessage[]} messages */
  function update(messages) {
    shown = messages;
    const ids = new Set(shown.map((each) => each.id));
    for (const each of selected) if (!ids.has(each)) selected.delete(each);
    put(body, shown.map((each) => row(each)));
    drawSelection();
  }

  function selectAll() {
    selected.clear();
    if (all.checked) for (const each of shown) selected.add(each.id);
    update(shown);
  }

  /** @param {FailedMessage} message */
  function row(message) {
    const device = message.devEUI || T.none;
    const time = moment(message.time);
    const box = h("input", { type: "checkbox" });
    box.checked = selected.has(message.id);
    box.addEventListener("change", () => {
      selected[box.checked ? "add" : "delete"](message.id);
      drawSelection();
    });
    const action = spoken(` ${T.messages.open}`);
    const link = h("button.link", { type: "button", onclick: () => open(message) }, time, action);
    return h(
      "tr",
      {},
      h("td", {}, h("label.check", {}, box, spoken(T.messages.select(device, time)))),
      h("td.time", {}, link),
      h("td", {}, directionOf(message)),
      h("td.device.mono", {}, device),
      h("td.reason", {}, h("code", {}, message.reason), h("span.muted", {}, message.detail)),
      h("td.number", { "data-label": T.messages.columns.attempts }, String(message.attempts)),
    );
  }
  return { element, update, selected: () => [...selected], clearSelection: () => (selected.clear(), update(shown)) };
}

/** Shows one message; settles with true if the user wants to replay it. @param {FailedMessage} message */
function messageDialog(message) {
  const facts = [
    [T.messages.columns.time, moment(message.time)],
    [T.messages.columns.direction, directionOf(message)],
    [T.messages.columns.device, message.devEUI || T.none],
    [T.messages.reason, `${message.reason} – ${message.detail}`],
    [T.messages.routingKey, message.routingKey || T.none],
    [T.messages.columns.attempts, String(message.attempts)],
  ];
  return openDialog(
    T.messages.openTitle,
    (/** @type {(value?: boolean) => void} */ close) => ({
      body: [
        h("dl.facts", {}, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
        h("h3", {}, T.messages.body),
        h("pre", { tabindex: "0" }, pretty(message.body)),
      ],
      actions: [
        button(T.close, { onclick: () => close() }),
        button(T.messages.replay, { kind: "primary", onclick: () => close(true) }),
      ],
    }),
    { wide: true },
  );
}
