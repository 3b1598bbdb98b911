/** The preview of a report: the connections that receive it, by which flow, and with which routing key. */

import { post } from "../parts/api.js";
import { errorLine } from "../parts/dialog.js";
import { button, h, icon, newId, put } from "../parts/dom.js";
import { EXAMPLE_UPLINK } from "../parts/preview.js";
import { onSignOut } from "../parts/forget.js";
import { address as driverAddress } from "../drivers/model.js";
import { address, condition, forgetTags, lastFailed, remember } from "./model.js";
import { T } from "../texts.js";

const example = () => JSON.stringify(EXAMPLE_UPLINK, null, 2);
/** The report in the field. It is kept while the user visits another view. */
let report = example();

onSignOut(() => {
  report = example();
  forgetTags();
});

/** @param {() => void} [seen] is called when tags of a report are known */
export function previewPanel(seen = () => {}) {
  const id = newId("report");
  const error = errorLine();
  error.element.id = `${id}-error`;
  const input = h("textarea.mono", { id, rows: 12, spellcheck: "false", "aria-describedby": `${id}-error` });
  const result = h("div.reached", { "aria-live": "polite" });
  const run = button(T.flows.run, { kind: "primary", onclick: preview });
  const failed = button(T.flows.failed, { kind: "small", hidden: true, onclick: insertFailed });
  /** @type {Flow[]} */
  let flows = [];
  /** @type {Connection[]} */
  let connections = [];
  input.value = report;
  input.addEventListener("input", () => (report = input.value));

  const insert = (/** @type {string} */ text) => ((input.value = report = text), fault(""), put(result));

  /** @param {string} text */
  function fault(text) {
    error.show(text);
    input.setAttribute("aria-invalid", String(Boolean(text)));
  }

  async function insertFailed() {
    try {
      const found = await lastFailed(connections);
      if (found) insert(JSON.stringify(JSON.parse(found.body), null, 2));
      else fault(T.flows.noFailed);
    } catch (problem) {
      fault(problem.message);
    }
  }

  async function preview() {
    fault("");
    let uplink;
    try {
      uplink = JSON.parse(input.value);
    } catch (problem) {
      fault(T.flows.notJson(problem.message));
      input.focus();
      return;
    }
    run.disabled = true;
    try {
      const { json } = await post("flows/preview", { uplink });
      remember(json.tags);
      seen();
      put(result, outcome(json, flows));
    } catch (problem) {
      const details = problem.errors?.map((/** @type {{detail: string}} */ each) => each.detail).join(" ");
      fault(details || problem.message);
    } finally {
      run.disabled = false;
    }
  }

  const element = h(
    "section.panel.test.try",
    {},
    h(
      "div.reached",
      {},
      h("h2", {}, T.flows.preview),
      h("p.muted", {}, T.flows.previewHint),
      h("div.field", {}, h("div.label", {}, h("label", { for: id }, T.flows.report)), input, error.element),
      h("div.actions", {}, run, button(T.flows.example, { kind: "small", onclick: () => insert(example()) }), failed),
    ),
    result,
  );
  return {
    element,
    /** @param {Flow[]} allFlows @param {Connection[]} allConnections */
    know(allFlows, allConnections) {
      flows = allFlows;
      connections = allConnections;
      failed.hidden = connections.length === 0;
    },
  };
}

/** The payload by the driver of a flow, or a note that none fits. @param {Decoded | null} decoded */
function payload(decoded) {
  if (!decoded) return h("div.muted", {}, T.flows.notDecoded);
  const { driver, name, payload: data, errors, warnings } = decoded;
  return [
    h("div", {}, h("span.muted", {}, T.flows.decodedBy), " ", h("a", { href: driverAddress(driver) }, name)),
    errors.length ? h("p.error", {}, errors.join(" ")) : h("pre", { tabindex: "0" }, JSON.stringify(data, null, 2)),
    warnings.length > 0 && h("p.muted", {}, warnings.join(" ")),
  ];
}

/** @param {{tags: string[], connections: Reached[]}} answer @param {Flow[]} flows */
function outcome({ tags, connections }, flows) {
  const receiving = connections.filter(({ receives }) => receives);
  const others = connections.filter(({ receives }) => !receives);
  const seen = tags.map((each) => h("span.tag", {}, each));
  const rows = (/** @type {Reached[]} */ all) => h("ul", {}, all.map((each) => row(each, flows)));
  return [
    h("p.condition", {}, tags.length ? [h("span.muted", {}, T.flows.seen), seen] : T.flows.noTags),
    h("p", {}, h("strong", {}, T.flows.receives(receiving.length))),
    rows(receiving),
    others.length > 0 && h("details", {}, h("summary", {}, T.flows.others(others.length)), rows(others)),
  ];
}

/** @param {Reached} reached @param {Flow[]} flows */
function row({ connectionId, name, receives, flow, decoded, routingKey, detail }, flows) {
  const matchers = flows.find(({ id }) => id === flow?.id)?.matchers ?? [];
  const matcher = flow && matchers[flow.matcher ?? -1];
  const chosen = flow
    ? [h("a", { href: address(flow.id) }, flow.name), " ", matcher ? condition(matcher) : T.flows.every]
    : T.flows.byAll;
  return h(
    receives && !detail ? "li.good" : "li.bad",
    {},
    icon(receives && !detail ? "check" : "close", 16),
    h("a", { href: `#/connections/${encodeURIComponent(connectionId)}` }, name),
    receives && h("div.condition", {}, flow && h("span.muted", {}, T.flows.byFlow), chosen),
    routingKey && h("div", {}, h("span.muted", {}, T.flows.key), " ", h("code", {}, routingKey)),
    receives && flow?.driver && payload(decoded),
    detail && h("div.muted", {}, detail),
  );
}
