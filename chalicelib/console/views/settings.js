/** The settings of a connection, each with its pencil: new value, confirm icon, confirmation window, notification. */

import { patch } from "../parts/api.js";
import { confirm, errorLine, notify } from "../parts/dialog.js";
import { button, h, icon, put, spoken } from "../parts/dom.js";
import { createField } from "../parts/field.js";
import { FIELDS, field, fieldAt, jsonValue, textOf } from "../parts/fields.js";
import { patternPreview } from "../parts/preview.js";
import { T } from "../texts.js";

const PAIRS = { certificate: ["privateKey"], privateKey: ["certificate"] };
/** What goes with a field when it is taken away. */
const TOGETHER = { username: ["password"], password: ["username"], ...PAIRS };
const QUIET = ["name", "description"];

/**
 * @param {() => any} current the connection as it is known now
 * @param {(connection: any) => void} changed is given the new one
 * @param {() => Promise<any>} reload reads it again
 */
export function settingsSection(current, changed, reload) {
  const rows = new Map();
  for (const definition of FIELDS) rows.set(definition.key, settingRow(definition, current, changed, reload));
  const list = (more) => h("div.settings", {}, FIELDS.filter(({ group }) => (group === "more") === more).map(({ key }) => rows.get(key).element));
  const element = h(
    "section.panel",
    {},
    h("h2", {}, T.details.settings),
    list(false),
    h("details.group", {}, h("summary", {}, T.details.more), list(true)),
  );
  const update = () => {
    for (const row of rows.values()) row.update();
  };
  update();
  return { element, update };
}

/** Which other fields must be sent, or are asked for, with a change of one. */
function companions({ key }, connection) {
  const stored = (each) => Boolean(textOf(connection, each));
  const secrets = FIELDS.filter((each) => each.secret && stored(each)).map((each) => [each, { required: true, hint: T.form.anew }]);
  if (key === "hostName") return secrets;
  if (key === "protocol") {
    const known = new Map(secrets.map(([each, options]) => [each.key, [each, options]]));
    for (const name of ["certificate", "privateKey", "trustedCaCertificate"]) {
      known.set(name, known.get(name) || [field(name), {}]);
    }
    return [[field("hostName"), { value: textOf(connection, field("hostName")) }], ...known.values()];
  }
  if (PAIRS[key]) {
    return PAIRS[key].map((name) => [field(name), { hint: stored(field(name)) ? T.form.stored : "" }]);
  }
  // The first half of a login brings the other; later each can be changed for itself.
  if (TOGETHER[key] && !stored(field(TOGETHER[key][0]))) return TOGETHER[key].map((name) => [field(name), { required: true }]);
  return [];
}

function shown(definition, connection) {
  const text = textOf(connection, definition);
  if (definition.kind === "switch") return text === "true" ? T.settings.yes : T.settings.no;
  if (!text) return h("span.muted", {}, T.settings.nothing);
  if (definition.secret) return h("span.muted", {}, T.settings.hidden);
  return h(definition.mono ? "span.mono" : "span", {}, text);
}

function settingRow(definition, current, changed, reload) {
  const { key, label } = definition;
  const value = h("div.value", {});
  const pencil = h("button.button.plain.icon-only", { type: "button", title: T.settings.edit(label), onclick: open }, icon("edit", 16), spoken(T.settings.edit(label)));
  const reading = h("div.reading", {}, h("div.term", {}, label), value, pencil);
  const element = h("div.setting", {}, reading);
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

  async function save(change, removed) {
    const connection = current();
    const document = key === "name" ? { name: change.name } : { configuration: change };
    const secret = definition.secret || removed;
    const body = secret ? [] : [comparison(definition, connection, change[key])];
    const text = QUIET.includes(key) ? T.settings.confirmText : `${T.settings.confirmText} ${T.settings.reconnects}`;
    const mine = editor;
    mine.hide(true);
    const agreed = await confirm(T.settings.confirmTitle(label), text, { body });
    mine.hide(false);
    if (!agreed) {
      mine.focusConfirm();
      return;
    }
    mine.busy(true);
    try {
      const { json } = await patch(connection, document);
      close();
      changed(json);
      notify(removed ? T.settings.removed(label) : T.settings.updated(label));
    } catch (problem) {
      mine.busy(false);
      if (problem.status === 412) await reload();
      mine.refuse(problem);
    }
  }
  return { element, update };
}

function comparison(definition, connection, value) {
  const now = shown(definition, connection);
  const then = shown(definition, definition.key === "name" ? { name: value } : { configuration: { [definition.key]: value } });
  return h("dl.comparison", {}, h("dt", {}, T.settings.from), h("dd", {}, now), h("dt", {}, T.settings.to), h("dd", {}, then));
}

function createEditor(definition, connection, { save, cancel }) {
  const error = errorLine();
  const before = definition.secret ? "" : textOf(connection, definition);
  const preview = definition.key === "uplinkTopicPattern" ? patternPreview() : null;
  const main = createField(definition, {
    value: before,
    onchange: () => (arrange(), preview?.update(main.text())),
    required: definition.required || definition.secret,
  });
  const others = companions(definition, connection).map(([each, options]) => createField(each, options));
  if (preview) {
    main.element.append(preview.element);
    preview.update(before);
  }
  const all = [main, ...others];
  const confirmButton = button(T.confirm, { icon: "check", quiet: true, kind: "primary", type: "submit" });
  const cancelButton = button(T.cancel, { icon: "close", quiet: true, onclick: cancel });
  const removable = !definition.required && definition.secret && Boolean(textOf(connection, definition));
  const removeButton = removable && button(T.settings.remove, { kind: "plain", onclick: take });
  const buttons = h("div.editor-actions", {}, confirmButton, cancelButton, removeButton);
  const element = h(
    "form.editor",
    {
      novalidate: true,
      onsubmit: (event) => (event.preventDefault(), submit()),
      onkeydown: (event) => event.key === "Escape" && (event.stopPropagation(), cancel()),
    },
    all.map((each) => each.element),
    error.element,
    buttons,
  );
  arrange();

  function arrange() {
    if (definition.key !== "protocol") return;
    for (const each of others) if (each.definition.ssl) each.show(main.text() === "SSL");
  }

  function submit() {
    error.tell("");
    const wrong = all.filter((each) => !each.element.hidden && !each.check());
    if (wrong.length) {
      wrong[0].focus();
      return;
    }
    if (!definition.secret && main.text() === before) {
      main.tell(T.settings.same);
      main.focus();
      return;
    }
    save(change());
  }

  function change() {
    const result = {};
    for (const each of all) {
      const { key, ssl, secret, required } = each.definition;
      if (each.element.hidden) result[key] = null;
      else if (each.text() || each === main) result[key] = jsonValue(each.definition, each.text());
      else if (!secret && !ssl && !required) result[key] = null;
    }
    return result;
  }

  function take() {
    const keys = [definition.key, ...(TOGETHER[definition.key] || [])];
    save(Object.fromEntries(keys.map((key) => [key, null])), true);
  }

  function refuse(problem) {
    const other = [];
    let first = null;
    for (const { pointer, detail } of problem.errors || []) {
      const each = all.find((one) => one.definition === fieldAt(pointer));
      if (each) each.tell(detail);
      else other.push(detail);
      first ??= each;
    }
    error.tell(problem.errors?.length ? other.join(" ") : problem.message);
    (first || main).focus();
  }

  return {
    element,
    refuse,
    focus: () => (main.focus(), main.input.select?.()),
    focusConfirm: () => confirmButton.focus(),
    // While the window asks, its Confirm is the only one.
    hide: (hidden) => buttons.classList.toggle("asking", hidden),
    busy: (busy) => {
      for (const each of buttons.children) each.disabled = busy;
    },
  };
}
