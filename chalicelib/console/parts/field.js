/** One field of a form: label, mandatory mark, help, tick, and what is wrong with it. */

import { button, h, icon, newId, put, spoken } from "./dom.js";
import { T } from "../texts.js";

const MAX_FILE = 256 * 1024;

/**
 * @param {import("./fields.js").Field & {mono?: boolean}} definition
 * @param {{value?: string, onchange?: () => void, hint?: string, required?: boolean}} [options]
 */
export function createField(definition, { value, onchange = () => {}, hint = "", required } = {}) {
  const { kind, label } = definition;
  const mandatory = required ?? Boolean(definition.required);
  const id = newId(definition.key);
  const errorId = `${id}-error`;
  const helpId = `${id}-help`;
  const hintId = `${id}-hint`;
  let fault = "";

  const input = control(definition, { id, required: mandatory });
  setText(value ?? definition.initial ?? "");
  const error = h("p.error", { id: errorId, hidden: true });
  const help = h("p.help", { id: helpId, hidden: true }, definition.help);
  const hintLine = hint && h("p.hint", { id: hintId }, hint);
  const tick = h("span.tick", { hidden: true }, icon("check", 16));
  const info = h(
    "button.info",
    {
      type: "button", "aria-expanded": "false", "aria-controls": helpId, title: definition.help,
      onclick: () => {
        help.hidden = !help.hidden;
        info.setAttribute("aria-expanded", String(!help.hidden));
        describe();
      },
    },
    icon("info", 16),
    spoken(`${T.form.help}: ${label}`),
  );
  const counter = definition.max && h("span.counter", {});
  const extras = kind === "pem" ? pemExtras(input, changed, tell) : kind === "password" ? showButton(input, label) : null;
  const mark = mandatory && h("span.mandatory", { "aria-hidden": "true" }, "*");
  const head = h("div.label", {}, h("label", { for: id }, label), mark, info, tick, counter);
  const row = kind === "password" ? h("div.with-button", {}, input, extras) : input;
  const element =
    kind === "switch"
      ? h("div.field.field-switch", {}, h("div.label", {}, input, h("label", { for: id }, label), info), help, error)
      : h("div.field", { "data-kind": kind }, head, help, hintLine, row, kind === "pem" && extras, error);

  input.addEventListener(kind === "select" || kind === "switch" ? "change" : "input", changed);
  input.addEventListener("blur", () => {
    // Nothing is held against a field that was only passed through, and what the API said stays until it is changed.
    if (text() && !fault) tell(problem());
  });
  describe();
  judge();

  function text() {
    if (kind === "switch") return String(input.checked);
    return kind === "password" || kind === "pem" ? input.value : input.value.trim();
  }

  function setText(given) {
    if (kind === "switch") input.checked = given === "true";
    else input.value = given;
  }

  function problem() {
    const typed = text();
    if (!typed) return mandatory && !element.hidden ? T.checks.mandatory : "";
    return definition.check ? definition.check(typed) : "";
  }

  function changed() {
    if (fault) tell(problem());
    judge();
    onchange();
  }

  function judge() {
    tick.hidden = !text() || Boolean(problem()) || Boolean(fault);
    if (counter) counter.textContent = T.form.chars(input.value.length, definition.max);
  }

  function tell(message) {
    fault = message || "";
    error.hidden = !fault;
    put(error, fault ? [icon("alert", 16), h("span", {}, fault)] : []);
    input.setAttribute("aria-invalid", String(Boolean(fault)));
    element.classList.toggle("invalid", Boolean(fault));
    describe();
    judge();
  }

  function describe() {
    const ids = [fault && errorId, hintLine && hintId, !help.hidden && helpId].filter(Boolean);
    if (ids.length) input.setAttribute("aria-describedby", ids.join(" "));
    else input.removeAttribute("aria-describedby");
  }

  return {
    definition,
    element,
    input,
    text,
    setText: (given) => (setText(given), judge()),
    tell,
    /** Looks at the value and says what is wrong with it. */
    check: () => (tell(problem()), !fault),
    faulty: () => Boolean(fault),
    show: (visible) => (element.hidden = !visible),
    focus: () => input.focus(),
  };
}

function control({ kind, options, example, mono }, { id, required }) {
  const common = { id, name: id, "aria-required": required ? "true" : null };
  const plain = { ...common, autocomplete: "off", spellcheck: "false", autocapitalize: "none", placeholder: example };
  const font = mono ? ".mono" : "";
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
      return h(`input${font}`, { ...plain, type: "text" });
  }
}

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

/** A file instead of pasting, by choosing it or dropping it on the text. */
function pemExtras(input, changed, tell) {
  const take = async (file) => {
    if (!file) return;
    if (file.size > MAX_FILE) {
      tell(T.form.tooLarge);
      return;
    }
    input.value = (await file.text()).trim();
    tell("");
    changed();
    input.dispatchEvent(new Event("blur"));
  };
  const file = h("input", { type: "file", accept: ".pem,.crt,.cer,.key,.txt", hidden: true });
  file.addEventListener("change", () => take(file.files[0]).finally(() => (file.value = "")));
  input.addEventListener("dragover", (event) => {
    event.preventDefault();
    input.classList.add("drop");
  });
  input.addEventListener("dragleave", () => input.classList.remove("drop"));
  input.addEventListener("drop", (event) => {
    event.preventDefault();
    input.classList.remove("drop");
    take(event.dataTransfer.files[0]);
  });
  return h(
    "div.pem-extras",
    {},
    button(T.form.file, { kind: "small", onclick: () => file.click() }),
    file,
    h("span.muted.small", {}, T.form.drop),
  );
}
