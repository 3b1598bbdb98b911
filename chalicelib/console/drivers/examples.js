/** Examples of a driver, all run at once, with the differences of those that fail. */

import { button, h, icon, put } from "../parts/dom.js";
import { onSignOut } from "../parts/forget.js";
import { codeField } from "./editor.js";
import { runCode } from "./model.js";
import { T } from "../texts.js";

/** Examples by the id of their driver. They are kept while the user visits another view. @type {Map<string, string>} */
const kept = new Map();
onSignOut(() => kept.clear());

/** @param {string} id @param {import("./model.js").Current} current @param {import("./model.js").Refuse} refuse */
export function examplesPanel(id, current, refuse) {
  const remember = () => kept.set(id, field.text());
  const field = codeField(T.drivers.examplesField, kept.get(id) || "[]", {
    rows: 8, accept: ".json,.txt", onchange: remember, onfile: () => (remember(), start()),
  });
  const result = h("div.reached", { "aria-live": "polite" });
  const run = button(T.drivers.runExamples, { onclick: start });

  async function start() {
    put(result);
    field.setError("");
    run.disabled = true;
    try {
      const examples = JSON.parse(field.text());
      if (!examples.length) throw new Error(T.drivers.notArray);
      put(result, results((await runCode({ ...current(), examples })).examples));
    } catch (problem) {
      const other = (problem.errors || []).filter((/** @type {Fault} */ each) => !refuse(each));
      const details = other.map((/** @type {Fault} */ { pointer, detail }) => `${pointer}: ${detail}`);
      field.setError(problem.errors?.length ? details.join(" ") : problem.message);
    } finally {
      run.disabled = false;
    }
  }

  return h(
    "section.panel.try",
    {},
    h("h2", {}, T.drivers.examples),
    h("p.muted", {}, T.drivers.examplesHint),
    field.element, h("div.actions", {}, run), result,
  );
}

/** @param {ExampleResult[]} all */
function results(all) {
  const good = all.filter(({ passed }) => passed).length;
  const summary = h(good === all.length ? "strong.good" : "strong.bad", {}, T.drivers.passed(good, all.length));
  return [h("p", {}, summary), h("ol", {}, all.map(row))];
}

/** @param {ExampleResult} result @param {number} index */
function row({ passed, type, description, milliseconds, differences, errors }, index) {
  const name = description || T.drivers.example(index + 1);
  const facts = [type, passed ? T.drivers.pass : T.drivers.fail, T.drivers.took(milliseconds)].join(", ");
  return h(
    passed ? "li.good" : "li.bad",
    {},
    icon(passed ? "check" : "close", 16),
    h("div.condition", {}, h("strong", {}, name), h("span.muted.small", {}, facts)),
    errors.map((each) => h("p.error", {}, each)),
    differences.length > 0 && table(differences),
  );
}

/** @param {Difference[]} differences */
function table(differences) {
  const heads = [T.drivers.place, T.drivers.expected, T.drivers.actual].map((each) => h("th", { scope: "col" }, each));
  const value = (/** @type {Difference} */ each, /** @type {"expected" | "actual"} */ side) => {
    const absent = h("span.muted", {}, T.drivers.absent);
    return h("td", {}, side in each ? h(`code.${side}`, {}, JSON.stringify(each[side])) : absent);
  };
  const rows = differences.map((each) => {
    const place = h("th", { scope: "row" }, h("code", {}, each.pointer || T.drivers.whole));
    return h("tr", {}, place, value(each, "expected"), value(each, "actual"));
  });
  return h("div.table-scroll", {}, h("table.difference", {}, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, rows)));
}
