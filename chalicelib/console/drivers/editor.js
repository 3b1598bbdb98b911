/** A plain text field for code with line numbers, a mark at the line of an error, and upload of a file. */

import { button, h, icon, newId, put } from "../parts/dom.js";
import { fileInput } from "../parts/field.js";
import { T } from "../texts.js";

const MAX_FILE = 512 * 1024;

/**
 * @param {string} label @param {string} value
 * @param {{rows: number, accept: string, onchange?: () => void, onfile?: () => void}} options
 */
export function codeField(label, value, { rows, accept, onchange = () => {}, onfile = () => {} }) {
  const id = newId("code");
  const numbers = h("pre.numbers", { "aria-hidden": "true" });
  const input = h("textarea.mono", {
    id, rows, wrap: "off", spellcheck: "false", autocapitalize: "none", autocomplete: "off",
    "aria-describedby": `${id}-error`,
  });
  const error = h("p.error", { id: `${id}-error`, role: "alert", hidden: true });
  const limits = { accept, max: MAX_FILE, tooLarge: T.drivers.tooLarge, hint: T.drivers.drop };
  const file = fileInput(input, limits, setError, () => (number(), onfile()));
  const element = h(
    "div.field",
    {},
    h("div.label", {}, h("label", { for: id }, label)),
    h("div.code", {}, numbers, input),
    error,
    file,
  );
  let lines = 0;
  input.value = value;
  input.addEventListener("input", () => (setError(""), number(), onchange()));
  input.addEventListener("scroll", () => (numbers.scrollTop = input.scrollTop));

  function number() {
    const now = input.value.split("\n").length;
    if (now === lines) return;
    lines = now;
    numbers.textContent = Array.from({ length: lines }, (_, n) => n + 1).join("\n");
  }

  /**
   * Shows an error, and marks its line.
   * @param {string} text @param {number} [line] counted from 1 @param {number} [column] counted from 1
   */
  function setError(text, line, column = 1) {
    error.hidden = !text;
    const go = line && button(T.drivers.goTo(line), { kind: "small", onclick: () => goTo(line, column) });
    put(error, text ? [icon("alert", 16), h("span", {}, text), go] : []);
    input.setAttribute("aria-invalid", String(Boolean(text)));
    input.classList.toggle("marked", Boolean(line));
    input.style.setProperty("--line", String(line || 0));
    if (line) goTo(line, column);
  }

  /** @param {number} line @param {number} column */
  function goTo(line, column) {
    const before = input.value.split("\n").slice(0, line - 1);
    const place = before.join("\n").length + Math.min(before.length, 1) + column - 1;
    input.focus();
    input.setSelectionRange(place, place);
    input.scrollTop = Math.max(0, (line - 4) * parseFloat(getComputedStyle(input).lineHeight));
  }

  number();
  return { element, setError, text: () => input.value };
}
