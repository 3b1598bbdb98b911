/** The alarms of a connection: when fewer uplinks come in an hour than expected. */

import { patch } from "../parts/api.js";
import { confirm, errorLine, notify, openDialog } from "../parts/dialog.js";
import { button, h, newId, put } from "../parts/dom.js";
import { T } from "../texts.js";

/** The API's name of a weekday as it is written here. */
const weekday = (name) => T.alarms.weekdays.find((each) => each.toLowerCase() === name) || name;

/** @param {() => any} current @param {(connection: any) => void} changed */
export function alarmsSection(current, changed) {
  const note = h("p.muted", {}, T.alarms.empty);
  const body = h("tbody", {});
  const heads = Object.entries(T.alarms.columns).map(([, text]) => h("th", { scope: "col" }, text));
  const table = h(
    "div.table-scroll",
    {},
    h("table.stacked", {}, h("caption.spoken", {}, T.alarms.table), h("thead", {}, h("tr", {}, heads, h("td", {}))), body),
  );
  const element = h(
    "section.panel",
    {},
    h("div.title-row", {}, h("h2", {}, T.alarms.title), button(T.alarms.add, { kind: "small", onclick: add })),
    note,
    table,
  );

  function update() {
    const { alarms } = current();
    note.hidden = alarms.length > 0;
    table.hidden = alarms.length === 0;
    const face = JSON.stringify(alarms);
    if (body.dataset.face === face) return;
    body.dataset.face = face;
    put(body, alarms.map(row));
  }

  function row(alarm, index) {
    const days = alarm.recurrence.map(({ frequency, byDays }) => (frequency === "daily" || byDays.length === 0 ? T.alarms.daily : byDays.map(weekday).join(", ")));
    return h(
      "tr",
      {},
      cell("window", `${alarm.startTime} – ${alarm.endTime}`),
      cell("zone", alarm.timezone),
      cell("days", days.join("; ") || T.none),
      cell("minimum", String(alarm.uplinkRateMinPerHour)),
      cell("message", alarm.message || T.none),
      h("td", {}, button(T.alarms.remove, { icon: "close", quiet: true, kind: "plain", onclick: () => take(index) })),
    );
  }

  function cell(column, text) {
    return h("td", { "data-label": T.alarms.columns[column] }, text);
  }

  async function take(index) {
    if (!(await confirm(`${T.alarms.remove}?`, "", { danger: true, action: T.settings.remove }))) return;
    try {
      const { json } = await patch(current(), { alarms: current().alarms.filter((_, n) => n !== index) });
      changed(json);
      notify(T.alarms.removed);
    } catch (problem) {
      notify(problem.message, "bad");
    }
  }

  async function add() {
    await openDialog(T.alarms.addTitle, (close) => {
      const error = errorLine();
      const entry = (label, attributes, value = "") => {
        const id = newId("alarm");
        const input = h("input", { id, ...attributes });
        input.value = value;
        return { input, element: h("div.field", {}, h("div.label", {}, h("label", { for: id }, label)), input) };
      };
      const start = entry(T.alarms.start, { type: "time", required: true, autofocus: true }, "08:00");
      const end = entry(T.alarms.end, { type: "time", required: true }, "18:00");
      const zone = entry(T.alarms.zone, { type: "text" }, Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC");
      const minimum = entry(T.alarms.minimum, { type: "number", min: 0, required: true }, "1");
      const message = entry(T.alarms.message, { type: "text" });
      const days = T.alarms.weekdays.map((name) => {
        const input = h("input", { type: "checkbox" });
        input.checked = true;
        return { name, input, element: h("label.check", {}, input, name) };
      });
      const save = button(T.alarms.save, { kind: "primary", type: "submit" });

      async function submit() {
        const chosen = days.filter(({ input }) => input.checked).map(({ name }) => name.toLowerCase());
        const every = chosen.length === days.length || chosen.length === 0;
        const alarm = {
          startTime: start.input.value,
          endTime: end.input.value,
          timezone: zone.input.value.trim(),
          recurrence: [every ? { frequency: "daily" } : { frequency: "weekly", byDays: chosen }],
          uplinkRateMinPerHour: Number(minimum.input.value),
          message: message.input.value.trim(),
        };
        save.disabled = true;
        try {
          const { json } = await patch(current(), { alarms: [...current().alarms, alarm] });
          close(true);
          changed(json);
          notify(T.alarms.added);
        } catch (problem) {
          error.tell(problem.errors?.map(({ detail }) => detail).join(" ") || problem.message);
        } finally {
          save.disabled = false;
        }
      }
      return {
        body: [
          h("div.grid", {}, start.element, end.element, zone.element, minimum.element),
          h("fieldset.days", {}, h("legend", {}, T.alarms.days), days.map(({ element: each }) => each)),
          message.element,
          error.element,
        ],
        onsubmit: submit,
        actions: [button(T.cancel, { onclick: () => close() }), save],
      };
    });
  }
  return { element, update };
}
