/** Creating a connection: its type, then its settings. */

import { post } from "../parts/api.js";
import { errorLine, notify } from "../parts/dialog.js";
import { button, h, icon, newId, put } from "../parts/dom.js";
import { createField } from "../parts/field.js";
import { FIELDS, configurationOf, fieldAt } from "../parts/fields.js";
import { testPanel } from "../parts/connection_test.js";
import { patternPreview } from "../parts/preview.js";
import { T } from "../texts.js";

const CONNECTOR = "actility-amqp-0.9.1-iot";
const GROUPS = ["place", "topics", "security", "login", "exchange"];

/** What was typed, also while another view was looked at. */
let draft = {};

export function forgetDraft() {
  draft = {};
}

export function chooseView(place) {
  const name = newId("type");
  const hint = newId("type-hint");
  const amqp = h(
    "button.choice",
    { type: "button", "aria-labelledby": name, "aria-describedby": hint, onclick: () => (location.hash = "#/create/amqp") },
    icon("broker", 28),
    h("strong", { id: name }, T.choose.amqp),
    h("span.muted", { id: hint }, T.choose.amqpHint),
  );
  put(
    place,
    crumb("#/", T.connections),
    h("h1", {}, T.choose.title),
    h("p.muted", {}, T.choose.intro),
    h("div.choices", {}, amqp),
  );
  amqp.focus({ preventScroll: true });
}

function crumb(href, text) {
  return h("a.crumb", { href }, icon("left", 16), text);
}

export function formView(place) {
  const fields = new Map();
  const error = errorLine();
  const preview = patternPreview();
  const panel = testPanel(T.probe.intro);
  const values = () => Object.fromEntries([...fields].map(([key, field]) => [key, field.text()]));

  const changed = () => {
    draft = values();
    arrange();
    recount();
    preview.update(draft.uplinkTopicPattern, draft);
  };
  for (const definition of FIELDS) {
    fields.set(definition.key, createField(definition, { value: draft[definition.key], onchange: changed }));
  }
  fields.get("uplinkTopicPattern").element.append(preview.element);

  function arrange() {
    const { protocol, downlinkEnabled } = values();
    for (const [, field] of fields) if (field.definition.ssl) field.show(protocol === "SSL");
    fields.get("hostName").input.placeholder = `amqp.company.com:${protocol === "SSL" ? 5671 : 5672}`;
    fields.get("downlinkTopicPattern").show(downlinkEnabled === "true");
  }

  let toCorrect = [];

  /** What was corrected is not asked for any more. */
  function recount() {
    const left = toCorrect.filter((field) => field.faulty() && !field.element.hidden);
    if (left.length === toCorrect.length) return;
    toCorrect = left;
    error.tell(left.length ? T.form.summary(left.length) : "");
  }

  /** The first thing to correct gets the focus, whether the page or the API found it. */
  function complain(wrong, other = []) {
    toCorrect = wrong;
    const texts = [wrong.length ? T.form.summary(wrong.length) : "", ...other].filter(Boolean);
    error.tell(texts.join(" "));
    const [first] = wrong;
    if (!first) return;
    const group = first.element.closest("details");
    if (group) group.open = true;
    first.focus();
  }

  function check() {
    const wrong = [...fields.values()].filter((field) => !field.element.hidden && !field.check());
    const typed = values();
    const pairs = [["username", "password", T.checks.together], ["certificate", "privateKey", T.checks.pair]];
    for (const [one, other, sentence] of pairs) {
      if (one === "certificate" && typed.protocol !== "SSL") continue;
      if (Boolean(typed[one]) === Boolean(typed[other])) continue;
      const lacking = fields.get(typed[one] ? other : one);
      lacking.tell(sentence);
      if (!wrong.includes(lacking)) wrong.push(lacking);
    }
    complain(wrong);
    return wrong.length === 0;
  }

  function refuse(problem) {
    const wrong = [];
    const other = [];
    for (const { pointer, detail } of problem.errors) {
      const field = fields.get(fieldAt(pointer)?.key);
      if (!field) other.push(pointer ? `${pointer}: ${detail}` : detail);
      else if (!wrong.includes(field)) {
        field.tell(detail);
        wrong.push(field);
      }
    }
    wrong.sort((a, b) => FIELDS.indexOf(a.definition) - FIELDS.indexOf(b.definition));
    complain(wrong, wrong.length || other.length ? other : [problem.message]);
  }

  async function create() {
    if (!check()) return;
    submit.disabled = true;
    const { name } = values();
    try {
      const document = { connectorId: CONNECTOR, name, configuration: configurationOf(values()) };
      const { json } = await post("connections", document);
      forgetDraft();
      notify(T.form.created(name));
      location.hash = `#/connections/${encodeURIComponent(json.id)}`;
    } catch (problem) {
      refuse(problem);
    } finally {
      submit.disabled = false;
    }
  }

  async function test() {
    if (check()) await panel.run("connections/test", { configuration: configurationOf(values()) }, refuse);
  }

  const submit = button(T.form.create, { kind: "primary", type: "submit" });
  const group = (key) =>
    h(
      "fieldset.group",
      {},
      h("legend", {}, T.form.groups[key]),
      FIELDS.filter((each) => each.group === key).map((each) => fields.get(each.key).element),
    );
  const form = h(
    "form.create",
    { novalidate: true, onsubmit: (event) => (event.preventDefault(), create()) },
    h("p.muted", {}, T.form.mandatory),
    h("div.panel", {}, GROUPS.map(group), h("details.group", {}, h("summary", {}, T.form.groups.more), moreFields())),
    panel.element,
    error.element,
    h(
      "div.actions.sticky",
      {},
      submit,
      button(T.form.test, { onclick: test }),
      button(T.cancel, { kind: "plain", onclick: () => (forgetDraft(), (location.hash = "#/")) }),
    ),
  );
  function moreFields() {
    return h("div.grid", {}, FIELDS.filter((each) => each.group === "more").map((each) => fields.get(each.key).element));
  }

  put(place, crumb("#/create", T.choose.title), h("h1", {}, T.form.title), form);
  arrange();
  preview.update(values().uplinkTopicPattern, values());
  fields.get("name").focus();
  return () => preview.stop();
}
