/** One flow: the form that creates or changes it. */

import { call, get } from "../parts/api.js";
import { confirm, errorLine, notify } from "../parts/dialog.js";
import { button, crumb, h, put } from "../parts/dom.js";
import { createField } from "../parts/field.js";
import { field } from "../parts/fields.js";
import { connectorsEditor } from "./connectors.js";
import { matchersEditor } from "./matchers.js";
import { AUTOMATIC, address, knownTags, readConnections, readFlows } from "./model.js";
import { previewPanel } from "./preview.js";
import { T } from "../texts.js";

/** @param {HTMLElement} place @param {string} [id] of the flow, without one the form creates a flow */
export function flowView(place, id) {
  const title = h("h1", { tabindex: "-1" }, id ? T.loading : T.flows.newTitle);
  const trouble = errorLine();
  const body = h("div", {});

  async function load() {
    try {
      const flow = id ? get(`flows/${encodeURIComponent(id)}`) : Promise.resolve({ json: undefined });
      const [flows, connections, { json }] = await Promise.all([readFlows(), readConnections(), flow]);
      if (!body.isConnected) return;
      trouble.show("");
      show(json, flows, connections);
    } catch (problem) {
      title.textContent = T.flows.title;
      trouble.show(problem.message);
    }
  }

  /** @param {Flow | undefined} flow @param {Flow[]} flows @param {Connection[]} connections */
  function show(flow, flows, connections) {
    const name = flow?.name || T.flows.newTitle;
    title.textContent = name;
    document.title = `${name} – ${T.product}`;
    put(body, flowForm(flow, flows, connections, load));
    if (!flow) body.querySelector("input")?.focus();
  }

  put(place, crumb("#/flows", T.flows.title), title, trouble.element, body);
  load();
}

/** @param {Flow | undefined} flow */
function flowFields(flow) {
  const driver = flow?.driver?.id || "";
  const known = [["", T.flows.noDriver], [AUTOMATIC, T.flows.automatic]];
  if (!known.some(([value]) => value === driver)) known.push([driver, driver]);
  const options = /** @type {[string, string][]} */ (known);
  return {
    name: createField({ ...field("name"), label: T.flows.name, help: T.flows.nameHelp }, { value: flow?.name }),
    description: createField(field("description"), { value: flow?.description }),
    active: createField(
      { ...field("downlinkEnabled"), label: T.details.active, help: T.flows.activeHelp },
      { value: String(flow?.active ?? true) },
    ),
    driver: createField(
      { ...field("protocol"), label: T.flows.driver, help: T.flows.driverHelp, options },
      { value: driver, required: false },
    ),
  };
}

/**
 * @param {Flow | undefined} flow @param {Flow[]} flows @param {Connection[]} connections
 * @param {() => void} reload shows the current values of the server
 */
function flowForm(flow, flows, connections, reload) {
  const fields = flowFields(flow);
  const matchers = matchersEditor(flow?.matchers || []);
  const connectors = connectorsEditor(flow?.connectors || [], connections);
  const error = errorLine();
  const preview = previewPanel(() => matchers.suggest(knownTags(flows)));
  preview.know(flows, connections);
  matchers.suggest(knownTags(flows));

  const document = () => ({
    name: fields.name.text(),
    description: fields.description.text() || undefined,
    active: fields.active.text() === "true",
    matchers: matchers.value(),
    connectors: connectors.value(),
    driver: fields.driver.text() ? { id: fields.driver.text() } : undefined,
  });

  async function submit() {
    error.show("");
    const good = [connectors.check(), matchers.check(), fields.description.check(), fields.name.check()];
    if (good.includes(false)) {
      for (const each of [fields.description, fields.name]) if (each.hasError()) each.focus();
      return;
    }
    save.disabled = true;
    try {
      const { json } = await store(flow, document());
      notify(flow ? T.flows.saved(json.name) : T.flows.created(json.name));
      if (flow) reload();
      else location.hash = address(json.id);
    } catch (problem) {
      refuse(problem);
    } finally {
      save.disabled = false;
    }
  }

  /** Shows the errors of the API beside their fields. @param {import("../parts/api.js").Problem} problem */
  function refuse({ status, errors, message }) {
    const other = errors.filter(({ pointer, detail }) => {
      const [, name] = /^\/(name|description|driver)/.exec(pointer) || [];
      if (name) fields[/** @type {"name"} */ (name)].setError(detail);
      return !name && !matchers.refuse(pointer, detail) && !connectors.refuse(pointer, detail);
    });
    error.show(errors.length ? other.map(({ detail }) => detail).join(" ") : message);
    if (status === 412) error.element.append(button(T.flows.reload, { kind: "small", onclick: reload }));
    const first = form.querySelector("[aria-invalid=true]");
    if (first instanceof HTMLElement) first.focus();
  }

  const save = button(flow ? T.flows.save : T.list.create, { kind: "primary", type: "submit" });
  const group = (/** @type {string} */ legend, /** @type {Child[]} */ ...children) =>
    h("fieldset.group", {}, h("legend", {}, legend), children);
  const form = h(
    "form.create",
    { novalidate: true, onsubmit: (event) => (event.preventDefault(), submit()) },
    h("p.muted", {}, T.form.mandatory),
    h(
      "div.panel",
      {},
      h("fieldset.group", {}, fields.name.element, fields.description.element, fields.active.element),
      group(T.flows.reports, h("p.muted", {}, T.flows.reportsHint), matchers.element),
      group(T.flows.connections, h("p.muted", {}, T.flows.connectionsHint), connectors.element),
      h("fieldset.group", {}, fields.driver.element),
    ),
    preview.element,
    error.element,
    h(
      "div.actions.sticky",
      {},
      save,
      button(T.cancel, { kind: "plain", onclick: () => (location.hash = "#/flows") }),
      flow && button(T.flows.delete, { kind: "danger", onclick: () => removeFlow(flow) }),
    ),
  );
  return form;
}

/** @param {Flow | undefined} flow @param {unknown} body */
function store(flow, body) {
  if (!flow) return call("POST", "flows", { body });
  const headers = { "If-Match": `"${flow.version}"` };
  return call("PUT", `flows/${encodeURIComponent(flow.id)}`, { body, headers });
}

/** @param {Flow} flow */
async function removeFlow({ id, name }) {
  const options = { action: T.flows.delete, danger: true };
  if (!(await confirm(T.flows.deleteTitle(name), T.flows.deleteText, options))) return;
  try {
    await call("DELETE", `flows/${encodeURIComponent(id)}`);
    notify(T.flows.deleted(name));
    location.hash = "#/flows";
  } catch (problem) {
    notify(problem.message, "bad");
  }
}
