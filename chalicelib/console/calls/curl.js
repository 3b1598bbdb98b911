/** Calls of the API as `curl` commands for a POSIX shell. The token stays out of them: the shell's variable has it. */

import { notify, openDialog } from "../parts/dialog.js";
import { button, h } from "../parts/dom.js";
import { C } from "../texts/curl.js";
import { T } from "../texts.js";

/** The address of the API under any stage: this file is in `console/calls/` below it. */
const BASE = new URL("../../", import.meta.url);

/**
 * @typedef {object} Call
 * @property {string} method
 * @property {string} path below the API
 * @property {Record<string, string>} [headers]
 * @property {unknown} [body]
 */

/** One word of a shell: between single quotes, only the single quote has a meaning. @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** @param {Call} call */
export function curlCommand({ method, path, headers = {}, body }) {
  const sent = body === undefined ? headers : { "Content-Type": "application/json", ...headers };
  const parts = [
    `curl --fail-with-body --request ${method} ${quoted(new URL(path, BASE).href)}`,
    `--header "Authorization: Bearer $TOKEN"`,
    ...Object.entries(sent).map(([name, value]) => `--header ${quoted(`${name}: ${value}`)}`),
  ];
  if (body !== undefined) parts.push(`--data-raw ${quoted(JSON.stringify(body, null, 2))}`);
  return parts.join(" \\\n  ");
}

/**
 * A button that copies a call. It shows the command if the browser does not allow access to the clipboard.
 * @param {string} label @param {() => Call} call
 */
export function curlButton(label, call) {
  const copy = async () => {
    const command = curlCommand(call());
    try {
      await navigator.clipboard.writeText(command);
      notify(C.copied);
    } catch {
      await show(command);
    }
  };
  return button(label, { icon: "copy", kind: "small", title: C.title, onclick: copy });
}

/** @param {string} command */
const show = (command) =>
  openDialog(C.title, (close) => ({
    body: [h("p", {}, C.byHand), h("pre.mono", { tabindex: "0", "aria-label": C.title }, command)],
    onsubmit: () => close(),
    actions: [button(T.close, { type: "submit", autofocus: true })],
  }));
