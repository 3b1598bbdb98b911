/** The view that imports a configuration: the document, what would change, missing secrets, and the progress. */

import { call } from "../parts/api.js";
import { errorLine, notify } from "../parts/dialog.js";
import { button, crumb, h, icon, newId, put } from "../parts/dom.js";
import { exportConnections } from "./export.js";
import { bodyOf, parseConfiguration, planOf } from "./plan.js";
import { T } from "../texts.js";

/** @typedef {import("./plan.js").Step} Step */

const LONG = ["certificate", "privateKey", "trustedCaCertificate"];

/** @param {HTMLElement} place */
export function importView(place) {
  const id = newId("document");
  const error = errorLine();
  const text = h("textarea.mono", { id, rows: "10", spellcheck: "false", autocomplete: "off" });
  const accept = ".json,application/json";
  const file = h("input", { type: "file", accept, hidden: true });
  const choose = button(T.form.file, { kind: "small", onclick: () => file.click() });
  const compare = button(T.transfer.compare, { kind: "primary", onclick: show });
  const result = h("div.import", {});
  file.addEventListener("change", async () => {
    if (file.files?.[0]) text.value = await file.files[0].text();
    file.value = "";
  });

  async function show() {
    error.show("");
    put(result);
    compare.disabled = true;
    try {
      const steps = await planOf(parseConfiguration(text.value));
      put(result, planPanel(steps));
      result.querySelector("h2")?.focus();
    } catch (problem) {
      error.show(problem.message);
      text.focus();
    } finally {
      compare.disabled = false;
    }
  }

  put(
    place,
    crumb("#/connections", T.connections),
    h("h1", { tabindex: "-1" }, T.transfer.title),
    h(
      "section.panel.transfer",
      {},
      h("h2", {}, T.transfer.exportTitle),
      h("p.muted", {}, T.transfer.exportText),
      h("div.actions", {}, button(T.transfer.exportAll, { onclick: () => exportConnections(null) })),
    ),
    h(
      "section.panel.transfer",
      {},
      h("h2", {}, T.transfer.importTitle),
      h("p.muted", {}, T.transfer.importText),
      h("div.field", {}, h("div.label", {}, h("label", { for: id }, T.transfer.document)), text, error.element),
      h("div.actions", {}, compare, choose, file),
    ),
    result,
  );
}

/** @param {Step[]} steps */
function planPanel(steps) {
  const due = steps.filter(({ fate }) => fate !== "same");
  const fields = due.filter(({ secrets }) => secrets.length).map(secretFields);
  const error = errorLine();
  const count = (/** @type {Step["fate"]} */ fate) => steps.filter((each) => each.fate === fate).length;
  const list = h("ol.plan", {}, steps.map(planRow));
  const run = button(T.transfer.run, { kind: "primary", disabled: due.length === 0, onclick: start });
  const max = String(Math.max(1, due.length));
  const bar = h("progress", { max, value: "0", "aria-label": T.transfer.run, hidden: true });
  const failures = h("ul.bulk-faults", { "aria-label": T.bulk.failures, tabindex: "0", hidden: true });

  async function start() {
    if (fields.some((each) => !each.check())) {
      error.show(T.transfer.secretsMissing);
      return;
    }
    error.show("");
    run.disabled = true;
    bar.hidden = false;
    const entered = new Map(fields.map((each) => [each.step, each.values()]));
    const failed = await execute(due, entered, bar, failures);
    if (!failed) notify(T.transfer.done(due.length));
  }

  return h(
    "section.panel.transfer",
    {},
    h("h2", { tabindex: "-1" }, T.transfer.plan),
    h("p", { "aria-live": "polite" }, T.transfer.counts(count("created"), count("changed"), count("same"))),
    list,
    fields.length > 0 && [h("h3", {}, T.transfer.secrets), h("p.muted", {}, T.transfer.secretsText)],
    fields.map((each) => each.element),
    error.element,
    h("div.actions", {}, run),
    bar,
    failures,
  );
}

/** @param {Step} step */
function planRow({ kind, name, fate, fields }) {
  return h(
    `li.${fate}`,
    {},
    h("span.tag", {}, T.transfer.fates[fate]),
    h("span.muted", {}, T.transfer.kinds[kind]),
    h("strong", {}, name),
    fields.length > 0 && h("span.muted.small", {}, fields.map(label).join(", ")),
  );
}

/** The name of a field as in the form. @param {string} field */
function label(field) {
  const texts = /** @type {Record<string, string[]>} */ (T.fields);
  return texts[field]?.[0] ?? field;
}

/** The fields for the missing secrets of a connection. @param {Step} step */
function secretFields(step) {
  const inputs = step.secrets.map((field) => {
    const id = newId("secret");
    const input = LONG.includes(field)
      ? h("textarea.mono", { id, rows: "4", spellcheck: "false", autocomplete: "off" })
      : h("input", { id, type: "password", autocomplete: "off" });
    return { field, id, input };
  });
  const element = h(
    "fieldset.group",
    {},
    h("legend", {}, step.name),
    inputs.map(({ field, id, input }) =>
      h("div.field", {}, h("div.label", {}, h("label", { for: id }, `${label(field)}, ${step.name}`)), input)),
  );
  function check() {
    for (const { input } of inputs) input.setAttribute("aria-invalid", String(!input.value.trim()));
    return inputs.every(({ input }) => input.value.trim());
  }
  const values = () => Object.fromEntries(inputs.map(({ field, input }) => [field, input.value]));
  return { step, element, check, values };
}

/**
 * Runs the steps one after the other, because flows need their connections and drivers.
 * @param {Step[]} steps @param {Map<Step, Record<string, string>>} entered
 * @param {HTMLProgressElement} bar @param {HTMLElement} failures
 */
async function execute(steps, entered, bar, failures) {
  /** @type {Map<string, string>} */
  const ids = new Map();
  let failed = 0;
  for (const step of steps) {
    const { kind, name, wanted, stored } = step;
    try {
      const path = stored ? `${kind}s/${encodeURIComponent(stored.id)}` : `${kind}s`;
      const headers = stored && { "If-Match": `"${stored.version}"` };
      const body = bodyOf(step, entered.get(step) ?? {}, ids);
      const { json } = await call(stored ? "PUT" : "POST", path, { body, headers });
      if (wanted.id) ids.set(wanted.id, json.id);
    } catch (problem) {
      failed += 1;
      failures.hidden = false;
      const details = (problem.errors ?? []).map((/** @type {Fault} */ each) => each.detail).join(" ");
      failures.append(h("li", {}, icon("alert", 16), h("strong", {}, name), ` ${details || problem.message}`));
    }
    bar.value += 1;
  }
  return failed;
}

