/** The connections of a flow, each with the validity of its uplinks. */

import { button, h, newId, put } from "../parts/dom.js";
import { createField } from "../parts/field.js";
import { field } from "../parts/fields.js";
import { T } from "../texts.js";

/** @typedef {{id: string, validity: ReturnType<typeof createField>, element: HTMLElement}} Row */

/** @param {FlowConnector[]} connectors @param {Connection[]} connections */
export function connectorsEditor(connectors, connections) {
  const names = new Map(connections.map(({ id, name }) => [id, name]));
  /** @type {Row[]} */
  let rows = [];
  const list = h("ul.connectors", {});
  const selectId = newId("connection");
  const select = h("select", { id: selectId });
  const adder = button(T.flows.add, { onclick: () => add({ connectionId: select.value }).validity.focus() });
  const label = h("div.label", {}, h("label", { for: selectId }, T.flows.choose));
  const choice = h("div.field", {}, label, h("div.with-button", {}, select, adder));
  const none = h("p.hint", {}, T.flows.noneLeft);
  const element = h("div.field", {}, list, choice, none);

  /** @param {FlowConnector} connector */
  function add({ connectionId: id, uplinkTimeValidity: value = "" }) {
    const validity = createField(field("uplinkTimeValidity"), { value });
    const name = names.get(id) || id;
    const cross = button(T.flows.remove(name), {
      icon: "close", quiet: true, kind: "plain",
      onclick: () => {
        rows = rows.filter((each) => each !== made);
        arrange();
        (choice.hidden ? list : select).focus();
      },
    });
    const link = h("a", { href: `#/connections/${encodeURIComponent(id)}` }, name);
    const made = { id, validity, element: h("li", {}, link, validity.element, cross) };
    rows.push(made);
    arrange();
    return made;
  }

  function arrange() {
    put(list, rows.map((each) => each.element));
    const left = connections.filter(({ id }) => !rows.some((each) => each.id === id));
    put(select, left.map(({ id, name }) => h("option", { value: id }, name)));
    choice.hidden = left.length === 0;
    none.hidden = left.length > 0;
  }

  arrange();
  for (const each of connectors) add(each);
  return {
    element,
    /** @returns {FlowConnector[]} */
    value: () =>
      rows.map(({ id, validity }) => {
        const uplinkTimeValidity = validity.text();
        return uplinkTimeValidity ? { connectionId: id, uplinkTimeValidity } : { connectionId: id };
      }),
    /** Shows the errors, and moves the focus to the first. Returns whether all values are good. */
    check() {
      const wrong = rows.filter(({ validity }) => !validity.check());
      wrong[0]?.validity.focus();
      return wrong.length === 0;
    },
    /** @param {string} pointer @param {string} detail */
    refuse(pointer, detail) {
      const found = rows[Number(/^\/connectors\/(\d+)/.exec(pointer)?.[1] ?? -1)];
      found?.validity.setError(detail);
      return Boolean(found);
    },
  };
}
