/** The alarms of a connection, which notify the user of hours with too few uplinks. */

import { patch } from "../parts/api.js";
import { confirm, errorLine, notify, openDialog } from "../parts/dialog.js";
import { button, h, newId, put } from "../parts/dom.js";
import { T } from "../texts.js";

/** @typedef {keyof typeof T.alarms.columns} Column */

/** The page's name of a weekday of the API. @param {string} name */
const weekday = (name) => T.alarms.weekdays.find((each) => each.toLowerCase() === name) || name;

/** @param {() => Connection} current @param {(connection: Connection) => void} changed */
export function alarmsSection(current, changed) {
  const note = h("p.muted", {}, T.alarms.empty);
  const body = h("tbody", {});
  const heads = Object.values(T.alarms.columns).map((text) => h("th", { scope: "col" }, text));
  const head = h("thead", {}, h("tr", {}, heads, h("td", {})));
  const caption = h("caption.spoken", {}, T.alarms.table);
  const table = h("div.table-scroll", {}, h("table.stacked", {}, caption, head, body));
  const open = button(T.alarms.add, { kind: "small", onclick: () => openAlarmDialog(add) });
  const title = h("div.title-row", {}, h("h2", {}, T.alarms.title), open);
  const element = h("section.panel", {}, title, note, table);

  function update() {
    const { alarms } = current();
    note.hidden = alarms.length > 0;
    table.hidden = alarms.length === 0;
    const face = JSON.stringify(alarms);
    if (body.dataset.face === face) return;
    body.dataset.face = face;
    put(body, alarms.map((alarm, index) => row(alarm, () => remove(index))));
  }

  /** @param {number} index */
  async function remove(index) {
    if (!(await confirm(`${T.alarms.remove}?`, "", { danger: true, action: T.settings.remove }))) return;
    try {
      const { json } = await patch(current(), { alarms: current().alarms.filter((_, n) => n !== index) });
      changed(json);
      notify(T.alarms.removed);
    } catch (problem) {
      notify(problem.message, "bad");
    }
  }

  /** @param {Alarm} alarm @param {() => void} done */
  async function add(alarm, done) {
    const { json } = await patch(current(), { alarms: [...current().alarms, alarm] });
    done();
    changed(json);
    notify(T.alarms.added);
  }
  return { element, update };
}

/** @param {Alarm} alarm @param {() => void} remove */
function row(alarm, remove) {
  const days = alarm.recurrence.map(({ frequency, byDays = [] }) =>
    frequency === "daily" || byDays.length === 0 ? T.alarms.daily : byDays.map(weekday).join(", "),
  );
  return h(
    "tr",
    {},
    cell("window", `${alarm.startTime} – ${alarm.endTime}`),
    cell("zone", alarm.timezone),
    cell("days", days.join("; ") || T.none),
    cell("minimum", String(alarm.uplinkRateMinPerHour)),
    cell("message", alarm.message || T.none),
    h("td", {}, button(T.alarms.remove, { icon: "close", quiet: true, kind: "plain", onclick: remove })),
  );
}

/** @param {Column} column @param {string} text */
function cell(column, text) {
  return h("td", { "data-label": T.alarms.columns[column] }, text);
}

/**
 * Asks for a new alarm.
 * @param {(alarm: Alarm, done: () => void) => Promise<void>} add saves it; calls `done` to close the dialog
 */
function openAlarmDialog(add) {
  return openDialog(T.alarms.addTitle, (close) => {
    const error = errorLine();
    const entries = alarmEntries();
    const save = button(T.alarms.save, { kind: "primary", type: "submit" });

    async function submit() {
      save.disabled = true;
      try {
        await add(entries.alarm(), () => close(true));
      } catch (problem) {
        const details = (problem.errors || []).map((/** @type {{detail: string}} */ each) => each.detail);
        error.show(details.join(" ") || problem.message);
      } finally {
        save.disabled = false;
      }
    }
    return {
      body: [entries.elements, error.element],
      onsubmit: submit,
      actions: [button(T.cancel, { onclick: () => close() }), save],
    };
  });
}

/** The inputs of an alarm. */
function alarmEntries() {
  const zoneHere = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const start = entry(T.alarms.start, { type: "time", required: true, autofocus: true }, "08:00");
  const end = entry(T.alarms.end, { type: "time", required: true }, "18:00");
  const zone = entry(T.alarms.zone, { type: "text" }, zoneHere);
  const minimum = entry(T.alarms.minimum, { type: "number", min: 0, required: true }, "1");
  const message = entry(T.alarms.message, { type: "text" });
  const days = T.alarms.weekdays.map((name) => {
    const input = h("input", { type: "checkbox" });
    input.checked = true;
    return { name, input, element: h("label.check", {}, input, name) };
  });

  /** @returns {Alarm} */
  function alarm() {
    const chosen = days.filter(({ input }) => input.checked).map(({ name }) => name.toLowerCase());
    const daily = chosen.length === days.length || chosen.length === 0;
    return {
      startTime: start.input.value,
      endTime: end.input.value,
      timezone: zone.input.value.trim(),
      recurrence: [daily ? { frequency: "daily" } : { frequency: "weekly", byDays: chosen }],
      uplinkRateMinPerHour: Number(minimum.input.value),
      message: message.input.value.trim(),
    };
  }
  const elements = [
    h("div.grid", {}, start.element, end.element, zone.element, minimum.element),
    h("fieldset.days", {}, h("legend", {}, T.alarms.days), days.map(({ element }) => element)),
    message.element,
  ];
  return { alarm, elements };
}

/** @param {string} label @param {Attributes} attributes */
function entry(label, attributes, value = "") {
  const id = newId("alarm");
  const input = h("input", { id, ...attributes });
  input.value = value;
  return { input, element: h("div.field", {}, h("div.label", {}, h("label", { for: id }, label)), input) };
}
