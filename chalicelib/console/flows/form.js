/** One flow: the form that creates or changes it. */

import { get } from "../parts/api.js";
import { documentForm, documentView } from "../parts/document.js";
import { h } from "../parts/dom.js";
import { createField } from "../parts/field.js";
import { field } from "../parts/fields.js";
import { AUTOMATIC, readDrivers } from "../drivers/model.js";
import { connectorsEditor } from "./connectors.js";
import { matchersEditor } from "./matchers.js";
import { knownTags, readConnections, readFlows } from "./model.js";
import { previewPanel } from "./preview.js";
import { T } from "../texts.js";

/** @typedef {{flows: Flow[], connections: Connection[], drivers: Driver[]}} Known documents of the tenant */

/** @param {HTMLElement} place @param {string} [id] of the flow, without one the form creates a flow */
export function flowView(place, id) {
  documentView(place, ["#/flows", T.flows.title], async (reload) => {
    const read = id ? get(`flows/${encodeURIComponent(id)}`) : Promise.resolve({ json: undefined });
    const reads = /** @type {const} */ ([readFlows(), readConnections(), readDrivers(), read]);
    const [flows, connections, drivers, { json }] = await Promise.all(reads);
    return { title: json?.name || T.flows.newTitle, form: flowForm(json, { flows, connections, drivers }, reload) };
  });
}

/** @param {Flow | undefined} flow @param {Driver[]} drivers */
function flowFields(flow, drivers) {
  const { name, nameHelp, activeHelp, driver: label, driverHelp, noDriver, automatic } = T.flows;
  const value = flow?.driver?.id || "";
  const known = [["", noDriver], [AUTOMATIC, automatic]];
  known.push(...drivers.map((each) => [each.id, each.name === each.id ? each.id : `${each.name} (${each.id})`]));
  if (!known.some(([each]) => each === value)) known.push([value, value]);
  const options = /** @type {[string, string][]} */ (known);
  const active = { ...field("downlinkEnabled"), label: T.details.active, help: activeHelp };
  const fields = {
    name: createField({ ...field("name"), label: name, help: nameHelp }, { value: flow?.name }),
    description: createField(field("description"), { value: flow?.description }),
    active: createField(active, { value: String(flow?.active ?? true) }),
    driver: createField({ ...field("protocol"), label, help: driverHelp, options }, { value, required: false }),
  };
  fields.name.input.toggleAttribute("autofocus", !flow);
  return fields;
}

/** @param {Flow | undefined} flow @param {Known} known @param {() => Promise<void>} reload */
function flowForm(flow, { flows, connections, drivers }, reload) {
  const fields = flowFields(flow, drivers);
  const { name, description, active, driver } = fields;
  const matchers = matchersEditor(flow?.matchers || []);
  const connectors = connectorsEditor(flow?.connectors || [], connections);
  const suggest = () => matchers.suggest(knownTags(flows));
  const preview = previewPanel(suggest);
  preview.know(flows, connections);
  suggest();
  const group = (/** @type {string} */ legend, /** @type {string} */ hint, /** @type {Element} */ element) =>
    h("fieldset.group", {}, h("legend", {}, legend), h("p.muted", {}, hint), element);
  return documentForm({
    kind: "flow",
    stored: flow,
    parts: [
      h(
        "div.panel",
        {},
        h("fieldset.group", {}, name.element, description.element, active.element),
        group(T.flows.reports, T.flows.reportsHint, matchers.element),
        group(T.flows.connections, T.flows.connectionsHint, connectors.element),
        h("fieldset.group", {}, driver.element),
      ),
      preview.element,
    ],
    check: () => [name.check(), description.check(), matchers.check(), connectors.check()],
    body: () => ({
      name: name.text(),
      description: description.text() || undefined,
      active: active.text() === "true",
      matchers: matchers.value(),
      connectors: connectors.value(),
      driver: driver.text() ? { id: driver.text() } : undefined,
    }),
    refuse({ pointer, detail }) {
      const [, key] = /^\/(name|description|driver)/.exec(pointer) || [];
      if (key) fields[/** @type {"name"} */ (key)].setError(detail);
      return Boolean(key) || matchers.refuse(pointer, detail) || connectors.refuse(pointer, detail);
    },
    reload,
    deleteText: T.flows.deleteText,
  });
}
