/** One field of a form: label, mandatory mark, help, tick and error. */

import { button, h, icon, newId, put, spoken } from "./dom.js";
import { T } from "../texts.js";

/** @typedef {import("./fields.js").Field} Field */
/** @typedef {ReturnType<typeof createField>} FieldControl */
/** @typedef {HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement} Input */

const PEM = { accept: ".pem,.crt,.cer,.key,.txt", max: 256 * 1024, tooLarge: T.form.tooLarge, hint: T.form.drop };

/**
 * @param {Field} definition
 * @param {{value?: string, onchange?: () => void, hint?: string, required?: boolean}} [options]
 */
export function createField(definition, { value, onchange = () => {}, hint = "", required } = {}) {
  const { kind } = definition;
  const mandatory = required ?? Boolean(definition.required);
  const parts = fieldParts(definition, mandatory, hint, () => describe());
  const { element, input, error, help, hintLine, tick, counter } = parts;
  let fault = "";

  setText(value ?? definition.initial ?? "");
  if (input instanceof HTMLTextAreaElement && kind === "pem") error.before(fileInput(input, PEM, setError, changed));
  input.addEventListener(kind === "select" || kind === "switch" ? "change" : "input", changed);
  input.addEventListener("blur", () => {
    // A field that the user only passes through gets no error. An error of the API stays until the value changes.
    if (text() && !fault) setError(problem());
  });
  describe();
  mark();

  function text() {
    if (input instanceof HTMLInputElement && kind === "switch") return String(input.checked);
    return kind === "password" || kind === "pem" ? input.value : input.value.trim();
  }

  /** @param {string} given */
  function setText(given) {
    if (input instanceof HTMLInputElement && kind === "switch") input.checked = given === "true";
    else input.value = given;
  }

  function problem() {
    const typed = text();
    if (!typed) return mandatory && !element.hidden ? T.checks.mandatory : "";
    return definition.check ? definition.check(typed) : "";
  }

  function changed() {
    if (fault) setError(problem());
    mark();
    onchange();
  }

  /** Shows the tick of a good value, and the number of characters. */
  function mark() {
    tick.hidden = !text() || Boolean(problem()) || Boolean(fault);
    if (counter && definition.max) counter.textContent = T.form.chars(input.value.length, definition.max);
  }

  /** @param {string} message */
  function setError(message) {
    fault = message || "";
    error.hidden = !fault;
    put(error, fault ? [icon("alert", 16), h("span", {}, fault)] : []);
    input.setAttribute("aria-invalid", String(Boolean(fault)));
    element.classList.toggle("invalid", Boolean(fault));
    describe();
    mark();
  }

  function describe() {
    const lines = [fault && error, hintLine, !help.hidden && help].filter((each) => each instanceof HTMLElement);
    if (lines.length) input.setAttribute("aria-describedby", lines.map(({ id }) => id).join(" "));
    else input.removeAttribute("aria-describedby");
  }

  return {
    definition,
    element,
    input,
    text,
    setError,
    /** Checks the value and shows its error; returns whether it is good. */
    check: () => (setError(problem()), !fault),
    hasError: () => Boolean(fault),
    /** @param {boolean} visible */
    setVisible: (visible) => void (element.hidden = !visible),
    focus: () => input.focus(),
  };
}

/**
 * The elements of a field.
 * @param {Field} definition @param {boolean} mandatory @param {string} hint
 * @param {() => void} describe is called when the help is shown or hidden
 */
function fieldParts(definition, mandatory, hint, describe) {
  const { kind, label } = definition;
  const id = newId(definition.key);
  const input = control(definition, id, mandatory);
  const error = h("p.error", { id: `${id}-error`, hidden: true });
  const help = h("p.help", { id: `${id}-help`, hidden: true }, definition.help);
  const hintLine = hint ? h("p.hint", { id: `${id}-hint` }, hint) : null;
  const tick = h("span.tick", { hidden: true }, icon("check", 16));
  const counter = definition.max ? h("span.counter", {}) : null;
  const star = mandatory && h("span.mandatory", { "aria-hidden": "true" }, "*");
  const name = h("label", { for: id }, label);
  const info = helpButton(definition, help, describe);
  const password = kind === "password" && input instanceof HTMLInputElement;
  const row = password ? h("div.with-button", {}, input, showButton(input, label)) : input;
  const element =
    kind === "switch"
      ? h("div.field.field-switch", {}, h("div.label", {}, input, name, info), help, error)
      : h(
          "div.field",
          { "data-kind": kind },
          h("div.label", {}, name, star, info, tick, counter),
          help, hintLine, row, error,
        );
  return { element, input, error, help, hintLine, tick, counter };
}

/** @param {Field} definition @param {HTMLElement} help @param {() => void} toggled */
function helpButton(definition, help, toggled) {
  const info = h(
    "button.info",
    {
      type: "button", "aria-expanded": "false", "aria-controls": help.id, title: definition.help,
      onclick: () => {
        help.hidden = !help.hidden;
        info.setAttribute("aria-expanded", String(!help.hidden));
        toggled();
      },
    },
    icon("info", 16),
    spoken(`${T.form.help}: ${definition.label}`),
  );
  return info;
}

/** @param {Field} definition @param {string} id @param {boolean} required @returns {Input} */
function control({ kind, options = [], example, mono }, id, required) {
  const common = { id, name: id, "aria-required": required ? "true" : null };
  const plain = { ...common, autocomplete: "off", spellcheck: "false", autocapitalize: "none", placeholder: example };
  switch (kind) {
    case "select":
      return h("select", common, options.map(([value, name]) => h("option", { value }, name)));
    case "switch":
      return h("input", { ...common, type: "checkbox" });
    case "textarea":
      return h("textarea", { ...common, rows: 3 });
    case "pem":
      return h("textarea.mono.pem", { ...plain, rows: 4, placeholder: "-----BEGIN …" });
    case "password":
      return h("input", { ...plain, type: "password", autocomplete: "new-password" });
    case "number":
      return h("input", { ...plain, type: "text", inputmode: "numeric" });
    default:
      return h(mono ? "input.mono" : "input", { ...plain, type: "text" });
  }
}

/** @param {HTMLInputElement} input @param {string} label */
function showButton(input, label) {
  const name = h("span", {}, T.form.show);
  return h(
    "button.button.plain",
    {
      type: "button",
      "aria-pressed": "false",
      onclick: (event) => {
        const shown = input.type === "text";
        input.type = shown ? "password" : "text";
        name.textContent = shown ? T.form.show : T.form.hide;
        event.currentTarget.setAttribute("aria-pressed", String(!shown));
      },
    },
    name,
    spoken(` ${label}`),
  );
}

/**
 * Reads the text of a file that the user chooses or drops on the field.
 * @param {HTMLTextAreaElement} input
 * @param {{accept: string, max: number, tooLarge: string, hint: string}} options `max`: bytes
 * @param {(message: string) => void} setError @param {() => void} changed
 */
export function fileInput(input, { accept, max, tooLarge, hint }, setError, changed) {
  const read = async (/** @type {File | undefined} */ file) => {
    if (!file) return;
    if (file.size > max) {
      setError(tooLarge);
      return;
    }
    input.value = (await file.text()).trim();
    setError("");
    changed();
    input.dispatchEvent(new Event("blur"));
  };
  const file = h("input", { type: "file", accept, hidden: true });
  file.addEventListener("change", () => read(file.files?.[0]).finally(() => (file.value = "")));
  input.addEventListener("dragover", (event) => {
    event.preventDefault();
    input.classList.add("drop");
  });
  input.addEventListener("dragleave", () => input.classList.remove("drop"));
  input.addEventListener("drop", (event) => {
    event.preventDefault();
    input.classList.remove("drop");
    read(event.dataTransfer?.files[0]);
  });
  return h(
    "div.pem-extras",
    {},
    button(T.form.file, { kind: "small", onclick: () => file.click() }),
    file,
    h("span.muted.small", {}, hint),
  );
}
