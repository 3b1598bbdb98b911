/** The form that creates an AMQP connection. */

import { post } from "../parts/api.js";
import { testPanel } from "../parts/connection_test.js";
import { errorLine, notify, notifyWarnings } from "../parts/dialog.js";
import { button, crumb, h, put } from "../parts/dom.js";
import { createField } from "../parts/field.js";
import { FIELDS, configurationOf, fieldAt } from "../parts/fields.js";
import { patternPreview } from "../parts/preview.js";
import { onSignOut } from "../parts/forget.js";
import { T } from "../texts.js";

/** @typedef {import("../parts/field.js").FieldControl} FieldControl */
/** @typedef {import("../parts/fields.js").Key} Key */
/** @typedef {import("../parts/fields.js").Group} Group */
/** @typedef {import("../parts/api.js").Problem} Problem */
/** @typedef {ReturnType<typeof formFields>} Fields */

const CONNECTOR = "actility-amqp-0.9.1-iot";
/** @type {Group[]} */
const GROUPS = ["place", "topics", "security", "login", "exchange"];

/** The typed values. They are kept while the user visits another view. @type {Record<string, string>} */
let draft = {};

function forgetDraft() {
  draft = {};
}
onSignOut(forgetDraft);

/** @param {HTMLElement} place */
export function formView(place) {
  const errors = errorSummary();
  const preview = patternPreview();
  const panel = testPanel(T.test.intro);
  const fields = formFields(() => {
    draft = fields.values();
    fields.arrange();
    errors.recount();
    preview.update(draft.uplinkTopicPattern, draft);
  });
  fields.get("uplinkTopicPattern").element.append(preview.element);
  /** @param {Problem} problem */
  const refuse = (problem) => markRefused(fields, problem, errors.show);
  const check = () => checkAll(fields, errors.show);

  async function create() {
    if (!check()) return;
    submit.disabled = true;
    const { name } = fields.values();
    try {
      const document = { connectorId: CONNECTOR, name, configuration: configurationOf(fields.values()) };
      const { json } = await post("connections", document);
      forgetDraft();
      notify(T.form.created(name));
      notifyWarnings(json);
      location.hash = `#/connections/${encodeURIComponent(json.id)}`;
    } catch (problem) {
      refuse(problem);
    } finally {
      submit.disabled = false;
    }
  }

  async function test() {
    if (check()) await panel.run("connections/test", { configuration: configurationOf(fields.values()) }, refuse);
  }

  const submit = button(T.form.create, { kind: "primary", type: "submit" });
  const cancel = () => (forgetDraft(), (location.hash = "#/"));
  const form = h(
    "form.create",
    { novalidate: true, onsubmit: (event) => (event.preventDefault(), create()) },
    h("p.muted", {}, T.form.mandatory),
    fieldGroups(fields),
    panel.element,
    errors.element,
    h(
      "div.actions.sticky",
      {},
      submit,
      button(T.form.test, { onclick: test }),
      button(T.cancel, { kind: "plain", onclick: cancel }),
    ),
  );
  put(place, crumb("#/create", T.choose.title), h("h1", {}, T.form.title), form);
  fields.arrange();
  preview.update(fields.values().uplinkTopicPattern, fields.values());
  fields.get("name").focus();
  return () => preview.stop();
}

/** All fields of the form. @param {() => void} changed */
function formFields(changed) {
  /** @type {Map<Key, FieldControl>} */
  const controls = new Map();
  for (const definition of FIELDS) {
    controls.set(definition.key, createField(definition, { value: draft[definition.key], onchange: changed }));
  }
  const get = (/** @type {Key} */ key) => /** @type {FieldControl} */ (controls.get(key));
  /** @returns {Record<string, string>} */
  const values = () => Object.fromEntries([...controls].map(([key, field]) => [key, field.text()]));

  /** Shows the fields that the protocol and the direction need. */
  function arrange() {
    const { protocol, downlinkEnabled } = values();
    for (const field of controls.values()) if (field.definition.ssl) field.setVisible(protocol === "SSL");
    get("hostName").input.setAttribute("placeholder", `amqp.company.com:${protocol === "SSL" ? 5671 : 5672}`);
    get("downlinkTopicPattern").setVisible(downlinkEnabled === "true");
  }
  return { get, values, arrange, all: () => [...controls.values()] };
}

/** The groups of the form; the last one is closed at first. @param {Fields} fields */
function fieldGroups(fields) {
  const elements = (/** @type {Group} */ key) =>
    FIELDS.filter(({ group }) => group === key).map((each) => fields.get(each.key).element);
  const groups = GROUPS.map((key) => h("fieldset.group", {}, h("legend", {}, T.form.groups[key]), elements(key)));
  const more = h("details.group", {}, h("summary", {}, T.form.groups.more), h("div.grid", {}, elements("more")));
  return h("div.panel", {}, groups, more);
}

/** The line that counts the fields with errors. */
function errorSummary() {
  const line = errorLine();
  /** @type {FieldControl[]} */
  let wrong = [];

  /**
   * Shows the errors, and moves the focus to the first field that has one.
   * @param {FieldControl[]} fields @param {string[]} [other] errors that belong to no field of the form
   */
  function show(fields, other = []) {
    wrong = fields;
    line.show([wrong.length ? T.form.summary(wrong.length) : "", ...other].filter(Boolean).join(" "));
    const [first] = wrong;
    if (!first) return;
    const group = first.element.closest("details");
    if (group) group.open = true;
    first.focus();
  }

  /** Counts again when the user has corrected a field. */
  function recount() {
    const left = wrong.filter((field) => field.hasError() && !field.element.hidden);
    if (left.length === wrong.length) return;
    wrong = left;
    line.show(left.length ? T.form.summary(left.length) : "");
  }
  return { element: line.element, show, recount };
}

/** @param {Fields} fields @param {(wrong: FieldControl[]) => void} show @returns whether all values are good */
function checkAll(fields, show) {
  const wrong = fields.all().filter((field) => !field.element.hidden && !field.check());
  const typed = fields.values();
  /** @type {[Key, Key, string][]} */
  const pairs = [["username", "password", T.checks.together], ["certificate", "privateKey", T.checks.pair]];
  for (const [one, other, sentence] of pairs) {
    if (one === "certificate" && typed.protocol !== "SSL") continue;
    if (Boolean(typed[one]) === Boolean(typed[other])) continue;
    const lacking = fields.get(typed[one] ? other : one);
    lacking.setError(sentence);
    if (!wrong.includes(lacking)) wrong.push(lacking);
  }
  show(wrong);
  return wrong.length === 0;
}

/**
 * Shows the errors of the API beside their fields.
 * @param {Fields} fields @param {Problem} problem @param {(wrong: FieldControl[], other: string[]) => void} show
 */
function markRefused(fields, problem, show) {
  /** @type {FieldControl[]} */
  const wrong = [];
  const other = [];
  for (const { pointer, detail } of problem.errors) {
    const definition = fieldAt(pointer);
    if (!definition) {
      other.push(pointer ? `${pointer}: ${detail}` : detail);
      continue;
    }
    const field = fields.get(definition.key);
    if (wrong.includes(field)) continue;
    field.setError(detail);
    wrong.push(field);
  }
  wrong.sort((a, b) => FIELDS.indexOf(a.definition) - FIELDS.indexOf(b.definition));
  show(wrong, wrong.length || other.length ? other : [problem.message]);
}
