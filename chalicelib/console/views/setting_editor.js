/** The form that edits one setting, with the fields that must change together with it. */

import { errorLine } from "../parts/dialog.js";
import { button, h } from "../parts/dom.js";
import { createField } from "../parts/field.js";
import { FIELDS, field, fieldAt, jsonValue, textOf } from "../parts/fields.js";
import { patternPreview } from "../parts/preview.js";
import { T } from "../texts.js";

/** @typedef {import("../parts/fields.js").Field} Field */
/** @typedef {import("../parts/fields.js").Key} Key */
/** @typedef {import("../parts/field.js").FieldControl} FieldControl */
/** @typedef {import("../parts/api.js").Problem} Problem */
/** @typedef {Record<string, string | number | boolean | null>} Change */
/** @typedef {{value?: string, hint?: string, required?: boolean}} Options */
/** @typedef {[Field, Options]} Companion */

/** @type {Partial<Record<Key, Key>>} */
const PAIRS = { certificate: "privateKey", privateKey: "certificate" };
/** The field that is removed together with a field. @type {Partial<Record<Key, Key>>} */
const TOGETHER = { username: "password", password: "username", ...PAIRS };

/**
 * The other fields that a change of one must or can set.
 * @param {Field} field @param {Connection} connection
 * @returns {Companion[]}
 */
function companions({ key }, connection) {
  const stored = (/** @type {Field} */ each) => Boolean(textOf(connection, each));
  const secrets = FIELDS.filter((each) => each.secret && stored(each)).map(
    (each) => /** @type {Companion} */ ([each, { required: true, hint: T.form.reenter }]),
  );
  if (key === "hostName") return secrets;
  if (key === "protocol") {
    const tls = /** @type {Key[]} */ (["certificate", "privateKey", "trustedCaCertificate"]).map(field);
    const known = secrets.map(([each]) => each);
    const others = tls.filter((each) => !known.includes(each)).map((each) => /** @type {Companion} */ ([each, {}]));
    return [[field("hostName"), { value: textOf(connection, field("hostName")) }], ...secrets, ...others];
  }
  const pair = PAIRS[key];
  if (pair) return [[field(pair), { hint: stored(field(pair)) ? T.form.stored : "" }]];
  // A first username needs a password, and the reverse; later each can change alone.
  const other = TOGETHER[key];
  return other && !stored(field(other)) ? [[field(other), { required: true }]] : [];
}

/**
 * @param {Field} definition @param {Connection} connection
 * @param {{save: (change: Change, removed?: boolean) => void, cancel: () => void}} actions
 */
export function createEditor(definition, connection, { save, cancel }) {
  const error = errorLine();
  const before = definition.secret ? "" : textOf(connection, definition);
  const { main, others } = editorFields(definition, connection, before);
  const all = [main, ...others];
  const confirmButton = button(T.confirm, { icon: "check", quiet: true, kind: "primary", type: "submit" });
  const cancelButton = button(T.cancel, { icon: "close", quiet: true, onclick: cancel });
  const removable = !definition.required && definition.secret && Boolean(textOf(connection, definition));
  const removeButton = removable && button(T.settings.remove, { kind: "plain", onclick: remove });
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

  function submit() {
    error.show("");
    const wrong = all.filter((each) => !each.element.hidden && !each.check());
    if (wrong.length) wrong[0].focus();
    else if (!definition.secret && main.text() === before) {
      main.setError(T.settings.same);
      main.focus();
    } else save(changeOf(main, others));
  }

  function remove() {
    const keys = [definition.key, TOGETHER[definition.key]].filter((key) => key !== undefined);
    save(Object.fromEntries(keys.map((key) => [key, null])), true);
  }

  return {
    element,
    /** Shows the errors of the API beside their fields. @param {Problem} problem */
    refuse: (problem) => markRefused(all, problem, error.show),
    focus() {
      main.focus();
      if (!(main.input instanceof HTMLSelectElement)) main.input.select();
    },
    focusConfirm: () => confirmButton.focus(),
    /** Hides the buttons while the confirmation window has its own Confirm. @param {boolean} hidden */
    hide: (hidden) => buttons.classList.toggle("asking", hidden),
    /** @param {boolean} busy */
    busy(busy) {
      for (const each of buttons.querySelectorAll("button")) each.disabled = busy;
    },
  };
}

/** @param {Field} definition @param {Connection} connection @param {string} before */
function editorFields(definition, connection, before) {
  const preview = definition.key === "uplinkTopicPattern" ? patternPreview() : null;
  const others = companions(definition, connection).map(([each, options]) => createField(each, options));
  const main = createField(definition, {
    value: before,
    onchange: () => (arrange(), preview?.update(main.text())),
    required: definition.required || definition.secret,
  });
  if (preview) {
    main.element.append(preview.element);
    preview.update(before);
  }

  /** Shows the fields of the chosen protocol. */
  function arrange() {
    if (definition.key !== "protocol") return;
    for (const each of others) if (each.definition.ssl) each.setVisible(main.text() === "SSL");
  }
  arrange();
  return { main, others };
}

/** The change that the typed values make. @param {FieldControl} main @param {FieldControl[]} others */
function changeOf(main, others) {
  /** @type {Change} */
  const change = {};
  for (const each of [main, ...others]) {
    const { key, ssl, secret, required } = each.definition;
    if (each.element.hidden) change[key] = null;
    else if (each.text() || each === main) change[key] = jsonValue(each.definition, each.text());
    else if (!secret && !ssl && !required) change[key] = null;
  }
  return change;
}

/** @param {FieldControl[]} all @param {Problem} problem @param {(text: string) => void} show */
function markRefused(all, problem, show) {
  const errors = problem.errors || [];
  const other = [];
  /** @type {FieldControl | null} */
  let first = null;
  for (const { pointer, detail } of errors) {
    const each = all.find((one) => one.definition === fieldAt(pointer));
    if (each) each.setError(detail);
    else other.push(detail);
    first ??= each ?? null;
  }
  show(errors.length ? other.join(" ") : problem.message);
  (first || all[0]).focus();
}
