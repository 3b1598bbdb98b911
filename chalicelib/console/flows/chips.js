/** A field of several short values, each shown as a chip with a button that removes it. */

import { button, h, icon, newId, put, spoken } from "../parts/dom.js";
import { T } from "../texts.js";

const SHOWN = 100;
const OFFERED = 12;

/**
 * @typedef {object} Options
 * @property {string} label
 * @property {string} hint
 * @property {string[]} values
 * @property {RegExp} separator between pasted values
 * @property {boolean} [mono]
 * @property {string} empty the error of a field without values, or an empty text
 * @property {(typed: string) => string} clean
 * @property {(value: string) => string} check returns the error of a value, or an empty text
 */

/** @param {Options} options */
export function chipField({ label, hint, values: initial, separator, mono, empty, clean, check }) {
  const values = new Map(initial.map((each) => [each.toLowerCase(), each]));
  const { element, chips, input, said, suggestions, setError, hasError } = parts(label, hint, mono);
  let all = false;
  /** @type {string[]} */
  let suggested = [];
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      add(input.value);
    } else if (event.key === "Backspace" && !input.value) {
      // The focus moves to the button of the last chip, so that one key more removes it.
      /** @type {HTMLElement | null} */ (chips.querySelector("li:last-child button"))?.focus();
    }
  });
  input.addEventListener("paste", (event) => {
    const text = event.clipboardData?.getData("text") || "";
    if (text.trim().split(separator).length < 2) return;
    event.preventDefault();
    add(`${input.value} ${text}`);
  });

  /** Adds typed values. A value with an error stays in the input. @param {string} text */
  function add(text) {
    const typed = text.split(separator).map(clean).filter(Boolean);
    const wrong = typed.filter(check);
    const added = typed.filter((each) => !check(each));
    for (const each of added) values.set(each.toLowerCase(), each);
    input.value = wrong.join(" ");
    if (typed.length || hasError()) setError(wrong.length ? check(wrong[0]) : "");
    if (!added.length) return;
    said.textContent = T.flows.added(added.join(", "));
    draw();
  }

  /** @param {string} value */
  function remove(value) {
    values.delete(value.toLowerCase());
    said.textContent = T.flows.removed(value);
    draw();
    input.focus();
  }

  function draw() {
    const shown = [...values.values()].slice(0, all ? values.size : SHOWN);
    const rest = () => ((all = true), draw(), input.focus());
    put(
      chips,
      shown.map((each) => chip(each, () => remove(each), mono)),
      shown.length < values.size && h("li", {}, button(T.flows.showAll(values.size), { kind: "small", onclick: rest })),
    );
    chips.hidden = values.size === 0;
    const left = suggested.filter((each) => !values.has(each.toLowerCase())).slice(0, OFFERED);
    suggestions.hidden = left.length === 0;
    const offer = (/** @type {string} */ each) =>
      h("button.chip", { type: "button", onclick: () => (add(each), input.focus()) }, `+ ${each}`);
    put(suggestions, h("span.muted.small", {}, T.flows.suggestions), left.map(offer));
  }

  draw();
  return {
    element,
    setError,
    focus: () => input.focus(),
    values: () => [...values.values()],
    /** Takes a value that is still in the input; returns whether all values are good. */
    check() {
      add(input.value);
      if (!hasError()) setError(values.size ? "" : empty);
      return !hasError();
    },
    /** @param {string[]} tags */
    suggest: (tags) => ((suggested = tags), draw()),
  };
}

/** The elements of the field. @param {string} label @param {string} hint @param {boolean} [mono] */
function parts(label, hint, mono) {
  const id = newId("chips");
  const chips = h("ul.chips", {});
  const error = h("p.error", { id: `${id}-error`, hidden: true });
  const said = h("span.spoken", { "aria-live": "polite" });
  const input = h(mono ? "input.mono" : "input", {
    id, type: "text", autocomplete: "off", autocapitalize: "none", spellcheck: "false",
    "aria-describedby": `${id}-hint ${id}-error`,
  });
  const suggestions = h("div.suggestions", { hidden: true });
  const name = h("div.label", {}, h("label", { for: id }, label));
  const help = h("p.hint", { id: `${id}-hint` }, hint);
  const element = h("div.field", {}, name, help, chips, input, error, suggestions, said);

  /** @param {string} text */
  function setError(text) {
    error.hidden = !text;
    put(error, text ? [icon("alert", 16), h("span", {}, text)] : []);
    input.setAttribute("aria-invalid", String(Boolean(text)));
  }
  return { element, chips, input, said, suggestions, setError, hasError: () => !error.hidden };
}

/** @param {string} value @param {() => void} remove @param {boolean} [mono] */
function chip(value, remove, mono) {
  const cross = h("button", { type: "button", onclick: remove }, icon("close", 12), spoken(T.flows.remove(value)));
  return h(mono ? "li.chip.mono" : "li.chip", {}, value, cross);
}
