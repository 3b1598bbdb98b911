/** One driver: the form that creates or changes it, and its trials. */

import { get } from "../parts/api.js";
import { notify, openDialog } from "../parts/dialog.js";
import { documentForm, documentView } from "../parts/document.js";
import { button, h } from "../parts/dom.js";
import { createField } from "../parts/field.js";
import { field } from "../parts/fields.js";
import { chipField } from "../flows/chips.js";
import { readFlows } from "../flows/model.js";
import { flowLink } from "../flows/routing.js";
import { codeField } from "./editor.js";
import { examplesPanel } from "./examples.js";
import { idFault, modelName, modelOf } from "./model.js";
import { payloadPanel } from "./trial.js";
import { T } from "../texts.js";

const NEW = [
  "function decodeUplink(input) {",
  "  const [high, low] = input.bytes;",
  "  return { data: { temperature: ((high << 8) | low) / 100 } };",
  "}",
  "",
].join("\n");

/** @param {HTMLElement} place @param {string} [id] of the driver, without one the form creates a driver */
export function driverView(place, id) {
  documentView(place, ["#/drivers", T.drivers.title], async (reload) => {
    const { json } = id ? await get(`drivers/${encodeURIComponent(id)}`) : { json: undefined };
    return { title: json?.name || T.drivers.newTitle, form: driverForm(json, reload) };
  });
}

/** @param {Driver | undefined} driver */
function driverFields(driver) {
  const options = /** @type {[string, string][]} */ (Object.entries(T.drivers.signatures));
  const { id, idHelp, name, nameHelp, signature: label, signatureHelp: help } = T.drivers;
  const idField = { ...field("username"), mono: true, label: id, help: idHelp, check: idFault };
  const fields = {
    id: createField(idField, { value: driver?.id, required: !driver }),
    name: createField({ ...field("name"), label: name, help: nameHelp }, { value: driver?.name, required: false }),
    description: createField(field("description"), { value: driver?.description }),
    signature: createField(
      { ...field("protocol"), label, help, options },
      { value: driver?.signature || options[0][0], required: false },
    ),
  };
  fields.id.input.toggleAttribute(driver ? "readonly" : "autofocus", true);
  return fields;
}

/** @param {Driver | undefined} driver @param {() => Promise<void>} reload */
function driverForm(driver, reload) {
  const fields = driverFields(driver);
  const { id, name, description, signature } = fields;
  const models = chipField({
    label: T.drivers.models, hint: T.drivers.modelsHint, values: (driver?.models || []).map(modelName),
    separator: /[\s,;]+/, mono: true, empty: "", clean: (typed) => typed.trim(), check: idFault,
  });
  const editor = codeField(T.drivers.code, driver?.code || NEW, { rows: 22, accept: ".js,.mjs,.cjs,.txt" });
  const current = () => ({ code: editor.text(), signature: signature.text() });
  /** Shows an error of the code at its line; returns whether there was one. @param {Fault} fault */
  const refuseCode = ({ pointer, detail, line, column }) => {
    if (pointer === "/code") editor.setError(detail, line, column);
    return pointer === "/code";
  };
  const facts = [id, name, signature].map(({ element }) => element);
  return documentForm({
    kind: "driver",
    stored: driver,
    parts: [
      h(
        "div.panel",
        {},
        h("fieldset.group", {}, h("div.grid", {}, facts), description.element, models.element),
        h("fieldset.group", {}, editor.element),
      ),
      payloadPanel(current, refuseCode),
      examplesPanel(driver?.id || "", current, refuseCode),
    ],
    check: () => [id.check(), name.check(), description.check(), models.check()],
    body: () => ({
      ...current(),
      id: id.text(),
      name: name.text() || undefined,
      description: description.text() || undefined,
      models: models.values().map(modelOf),
    }),
    refuse(fault) {
      const [, key] = /^\/(id|name|description|signature|models)/.exec(fault.pointer) || [];
      if (key) ({ ...fields, models })[/** @type {"id"} */ (key)].setError(fault.detail);
      return Boolean(key) || refuseCode(fault);
    },
    reload,
    deleteText: T.drivers.deleteText,
    used: ({ message }) => showUsers(driver?.id, message),
  });
}

/** Shows the flows that name a driver. @param {string | undefined} id @param {string} message of the API */
async function showUsers(id, message) {
  const users = (await readFlows()).filter(({ driver }) => driver?.id === id);
  if (!users.length) {
    notify(message, "bad");
    return;
  }
  await openDialog(T.drivers.usedTitle, (close) => ({
    body: [
      h("p", {}, T.drivers.usedText),
      h("ul.used", { onclick: () => close() }, users.map((each) => h("li", {}, flowLink(each)))),
    ],
    actions: [button(T.close, { onclick: () => close(), autofocus: true })],
  }));
}
