/** The settings of a connection. The user edits each with its pencil button and confirms the change in a window. */

import { patch } from "../parts/api.js";
import { confirm, notify, notifyWarnings } from "../parts/dialog.js";
import { h, icon, put, spoken } from "../parts/dom.js";
import { FIELDS, textOf } from "../parts/fields.js";
import { createEditor } from "./setting_editor.js";
import { T } from "../texts.js";

/** @typedef {import("../parts/fields.js").Field} Field */
/** @typedef {import("./setting_editor.js").Change} Change */

/** Settings that the broker connection does not depend on. */
const QUIET = ["name", "description"];

/**
 * @param {() => Connection} current
 * @param {(connection: Connection) => void} changed is called with the connection after a change
 * @param {() => Promise<void>} reload reads the connection again
 */
export function settingsSection(current, changed, reload) {
  const rows = FIELDS.map((definition) => ({ definition, row: settingRow(definition, current, changed, reload) }));
  const list = (/** @type {boolean} */ more) => {
    const wanted = rows.filter(({ definition }) => (definition.group === "more") === more);
    return h("div.settings", {}, wanted.map(({ row }) => row.element));
  };
  // Open if a setting has another value than its default: it can be the cause of a fault.
  const isSet = (/** @type {Field} */ each) => ![each.initial ?? "", each.example].includes(textOf(current(), each));
  const open = FIELDS.some((each) => each.group === "more" && isSet(each));
  const element = h(
    "section.panel",
    {},
    h("h2", {}, T.details.settings),
    list(false),
    h("details.group", { open }, h("summary", {}, T.details.more), list(true)),
  );
  const update = () => {
    for (const { row } of rows) row.update();
  };
  update();
  return { element, update };
}

/** @param {Field} definition @param {Pick<Connection, "name" | "configuration">} connection */
function shown(definition, connection) {
  const text = textOf(connection, definition);
  if (definition.kind === "switch") return text === "true" ? T.settings.yes : T.settings.no;
  if (!text) return h("span.muted", {}, T.settings.nothing);
  if (definition.secret) return h("span.muted", {}, T.settings.hidden);
  return h(definition.mono ? "span.mono" : "span", {}, text);
}

/**
 * @param {Field} definition @param {() => Connection} current
 * @param {(connection: Connection) => void} changed @param {() => Promise<void>} reload
 */
function settingRow(definition, current, changed, reload) {
  const { key, label } = definition;
  const value = h("div.value", {});
  const pencil = h(
    "button.button.plain.icon-only",
    { type: "button", title: T.settings.edit(label), onclick: open },
    icon("edit", 16),
    spoken(T.settings.edit(label)),
  );
  const reading = h("div.reading", {}, h("div.term", {}, label), value, pencil);
  const element = h("div.setting", {}, reading);
  /** @type {ReturnType<typeof createEditor> | null} */
  let editor = null;

  function update() {
    const connection = current();
    element.hidden = Boolean(definition.ssl) && connection.configuration.protocol !== "SSL";
    const face = textOf(connection, definition);
    if (value.dataset.face === face) return;
    value.dataset.face = face;
    put(value, shown(definition, connection));
  }

  function open() {
    editor = createEditor(definition, current(), { save, cancel: close });
    reading.hidden = true;
    element.append(editor.element);
    editor.focus();
  }

  function close() {
    editor?.element.remove();
    editor = null;
    reading.hidden = false;
    pencil.focus();
  }

  /** @param {Change} change @param {boolean} [removed] */
  async function save(change, removed) {
    const mine = editor;
    if (!mine) return;
    const connection = current();
    mine.hide(true);
    const agreed = await askToChange(definition, connection, change, removed);
    mine.hide(false);
    if (!agreed) {
      mine.focusConfirm();
      return;
    }
    mine.busy(true);
    try {
      const { json } = await patch(connection, key === "name" ? { name: change.name } : { configuration: change });
      close();
      changed(json);
      notify(removed ? T.settings.removed(label) : T.settings.updated(label));
      notifyWarnings(json);
    } catch (problem) {
      mine.busy(false);
      if (problem.status === 412) await reload();
      mine.refuse(problem);
    }
  }
  return { element, update };
}

/**
 * @param {Field} definition @param {Connection} connection @param {Change} change @param {boolean} [removed]
 */
function askToChange(definition, connection, change, removed) {
  const { key, label, secret } = definition;
  const body = secret || removed ? [] : [comparison(definition, connection, change[key] ?? null)];
  const text = QUIET.includes(key) ? T.settings.confirmText : `${T.settings.confirmText} ${T.settings.reconnects}`;
  return confirm(T.settings.confirmTitle(label), text, { body });
}

/** @param {Field} definition @param {Connection} connection @param {Change[string]} value */
function comparison(definition, connection, value) {
  const wanted = { name: String(value), configuration: { [definition.key]: value } };
  return h(
    "dl.comparison",
    {},
    h("dt", {}, T.settings.from),
    h("dd", {}, shown(definition, connection)),
    h("dt", {}, T.settings.to),
    h("dd", {}, shown(definition, wanted)),
  );
}
