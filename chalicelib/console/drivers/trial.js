/** The trial of a driver's code with one payload. */

import { errorLine } from "../parts/dialog.js";
import { button, h, icon, newId, put } from "../parts/dom.js";
import { runCode } from "./model.js";
import { T } from "../texts.js";

/** @typedef {import("./model.js").Current} Current */
/** @typedef {import("./model.js").Refuse} Refuse */

const json = (/** @type {unknown} */ value) => JSON.stringify(value, null, 2);

/** @param {string} label @param {HTMLElement} input */
const labelled = (label, input) => h("div.field", {}, h("div.label", {}, h("label", { for: input.id }, label)), input);

/** @param {Current} current @param {Refuse} refuse */
export function payloadPanel(current, refuse) {
  const choices = Object.entries(T.drivers.operations).map(([value, text]) => h("option", { value }, text));
  const plain = { type: "text", spellcheck: "false", autocomplete: "off" };
  const operation = h("select", { id: newId("operation"), onchange: arrange }, choices);
  const bytes = h("input.mono", { id: newId("bytes"), ...plain });
  const data = h("textarea.mono", { id: newId("data"), rows: 5, spellcheck: "false" });
  const port = h("input", { id: newId("port"), inputmode: "numeric", ...plain });
  const [bytesField, dataField] = [labelled(T.drivers.bytes, bytes), labelled(T.drivers.data, data)];
  const error = errorLine();
  const result = h("div.reached", { "aria-live": "polite" });
  const run = button(T.drivers.run, { kind: "primary", onclick: start });
  [bytes.value, data.value, port.value] = ["08fc", json({ temperature: 23 }), "1"];

  const encodes = () => operation.value === "encodeDownlink";
  function arrange() {
    bytesField.hidden = encodes();
    dataField.hidden = !encodes();
    put(result);
  }

  function input() {
    const fPort = port.value.trim() ? Number(port.value) : undefined;
    if (encodes()) return { data: JSON.parse(data.value), fPort };
    const digits = bytes.value.replace(/0x|[\s:-]/g, "");
    if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error(T.drivers.bytesWrong);
    return { bytes: digits, fPort };
  }

  async function start() {
    error.show("");
    put(result);
    run.disabled = true;
    try {
      const trial = await runCode({ ...current(), operation: operation.value, ...input() });
      put(result, outcome(trial, encodes()));
    } catch (problem) {
      const other = (problem.errors || []).filter((/** @type {Fault} */ each) => !refuse(each));
      if (!problem.errors?.length) error.show(problem.message);
      else error.show(other.map((/** @type {Fault} */ { detail }) => detail).join(" "));
    } finally {
      run.disabled = false;
    }
  }

  arrange();
  const fields = [labelled(T.drivers.operation, operation), bytesField, dataField, labelled(T.drivers.port, port)];
  return h(
    "section.panel.test.try",
    {},
    h("h2", {}, T.drivers.decode),
    h("p.muted", {}, T.drivers.decodeHint),
    fields, error.element, h("div.actions", {}, run), result,
  );
}

/** @param {Trial} trial @param {boolean} encodes */
function outcome(trial, encodes) {
  const { errors, warnings, milliseconds, console: lines } = trial;
  const value = encodes ? { bytes: trial.bytes, fPort: trial.fPort } : trial.data;
  const block = (/** @type {string} */ title, /** @type {string[]} */ all) =>
    all.length > 0 && [h("h3", {}, title), h("pre", { tabindex: "0" }, all.join("\n"))];
  return [
    errors.length
      ? h("p.error", {}, icon("alert", 16), h("span", {}, errors.join(" ")))
      : h("pre", { tabindex: "0" }, json(value)),
    block(T.drivers.warnings, warnings),
    block(T.drivers.console, lines),
    h("p.muted.small", {}, T.drivers.took(milliseconds)),
  ];
}
