/** The views of flows and drivers: a list, and the form of one document with its buttons and errors. */

import { call } from "./api.js";
import { confirm, errorLine, notify } from "./dialog.js";
import { button, crumb, h, put } from "./dom.js";
import { T } from "../texts.js";

/** @typedef {import("./api.js").Problem} Problem */

const waiting = () => h("p.muted", {}, h("span.spinner", { "aria-hidden": "true" }), T.loading);
export const heading = (/** @type {string} */ text) => h("h1", { tabindex: "-1" }, text);

/**
 * A list of documents with the button that creates one.
 * @param {HTMLElement} place @param {string} title @param {string} address of the form
 * @param {() => Promise<Child>} read settles with the list @param {...Child} below
 */
export async function documentsView(place, title, address, read, ...below) {
  const create = button(T.list.create, { kind: "primary", onclick: () => (location.hash = address) });
  const trouble = errorLine();
  const content = h("div.filled", {}, waiting());
  put(place, h("div.title-row", {}, heading(title), create), trouble.element, content, below);
  try {
    put(content, await read());
  } catch (problem) {
    put(content);
    trouble.show(problem.message);
  }
}

/**
 * A table whose rows are blocks on a narrow screen.
 * @param {string} caption @param {Record<string, string>} columns
 * @param {{[column: string]: Child}[]} rows the column `name` has no label
 */
export function stackedTable(caption, columns, rows) {
  const names = Object.keys(columns);
  const heads = names.map((name) => h(`th.${name}`, { scope: "col" }, columns[name]));
  const body = rows.map((row) =>
    h(
      "tr",
      {},
      names.map((name) => {
        const label = name === "name" ? null : columns[name];
        return h(`td.${name}`, { "data-label": label }, h("div", {}, row[name]));
      }),
    ),
  );
  const table = h("table.flows.stacked", {}, h("caption.spoken", {}, caption), h("thead", {}, h("tr", {}, heads)));
  table.append(h("tbody", {}, body));
  return h("div.table-scroll", {}, table);
}

/**
 * The view of one document.
 * @param {HTMLElement} place @param {[string, string]} above address and title of the list
 * @param {(reload: () => Promise<void>) => Promise<{title: string, form: HTMLElement}>} read
 */
export function documentView(place, above, read) {
  const title = heading(T.loading);
  const trouble = errorLine();
  const body = h("div", {});

  async function load() {
    try {
      const { title: text, form } = await read(load);
      if (!body.isConnected) return;
      title.textContent = text;
      document.title = `${text} – ${T.product}`;
      trouble.show("");
      put(body, form);
      /** @type {HTMLElement | null} */ (body.querySelector("[autofocus]"))?.focus();
    } catch (problem) {
      title.textContent = above[1];
      trouble.show(problem.message);
    }
  }

  put(place, crumb(...above), title, trouble.element, body);
  load();
}

/**
 * @typedef {object} Options
 * @property {"flow" | "driver"} kind
 * @property {{id: string, name: string, version: number} | undefined} stored without it, the form creates a document
 * @property {Child[]} parts
 * @property {() => boolean[]} check checks all fields and shows their errors; returns which are good
 * @property {() => unknown} body the document to send
 * @property {(fault: Fault) => boolean} refuse shows an error of the API at its field, if there is one
 * @property {() => Promise<void>} reload shows the current values of the server
 * @property {string} deleteText
 * @property {(problem: Problem) => Promise<void>} [used] is called if other documents prevent the deletion
 */

/** The form of a document. @param {Options} options */
export function documentForm({ kind, stored, parts, check, body, refuse, reload, deleteText, used }) {
  const error = errorLine();
  const path = stored ? `${kind}s/${encodeURIComponent(stored.id)}` : `${kind}s`;
  const headers = stored && { "If-Match": `"${stored.version}"` };
  const list = `#/${kind}s`;

  async function submit() {
    error.show("");
    if (check().includes(false)) {
      focusFirst();
      return;
    }
    save.disabled = true;
    try {
      const { json } = await call(stored ? "PUT" : "POST", path, { body: body(), headers });
      // Before the message: a click after it must not go to a form that is about to be replaced.
      if (stored) await reload();
      notify(stored ? T.documents.saved(kind, json.name) : T.documents.created(kind, json.name));
      if (!stored) location.hash = `${list}/${encodeURIComponent(json.id)}`;
    } catch (problem) {
      explain(problem);
    } finally {
      save.disabled = false;
    }
  }

  /** @param {Problem} problem */
  function explain({ status, errors, message }) {
    const other = errors.filter((each) => !refuse(each));
    error.show(errors.length ? other.map(({ detail }) => detail).join(" ") : message);
    if (status === 412) error.element.append(button(T.documents.reload, { kind: "small", onclick: reload }));
    focusFirst();
  }

  function focusFirst() {
    /** @type {HTMLElement | null} */ (form.querySelector("[aria-invalid=true]"))?.focus();
  }

  /** @param {string} name */
  async function remove(name) {
    if (!(await confirm(T.details.deleteTitle(name), deleteText, { action: T.details.delete, danger: true }))) return;
    try {
      await call("DELETE", path);
      notify(T.documents.deleted(kind, name));
      location.hash = list;
    } catch (problem) {
      if (problem.status === 409 && used) await used(problem);
      else notify(problem.message, "bad");
    }
  }

  const save = button(stored ? T.documents.save : T.list.create, { kind: "primary", type: "submit" });
  const cancel = button(T.cancel, { kind: "plain", onclick: () => (location.hash = list) });
  const gone = stored && button(T.details.delete, { kind: "danger", onclick: () => remove(stored.name) });
  const form = h(
    "form.create",
    { novalidate: true, onsubmit: (event) => (event.preventDefault(), submit()) },
    h("p.muted", {}, T.form.mandatory),
    parts,
    error.element,
    h("div.actions.sticky", {}, save, cancel, gone),
  );
  return form;
}
