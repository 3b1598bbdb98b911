/** Dialog windows, notifications at the upper right, and error lines. */

import { button, byId, h, icon, newId, put } from "./dom.js";
import { T } from "../texts.js";

const VISIBLE = 7000;
const MOST = 4;

/**
 * Shows a notification. Errors ("bad") stay until the user dismisses them.
 * @param {string} text @param {"good" | "bad" | "caution"} kind
 */
export function notify(text, kind = "good") {
  const place = byId("notifications");
  const note = h(`div.notification.${kind}`, {}, icon(kind === "good" ? "check" : "alert"), h("p", {}, text));
  note.append(button(T.dismiss, { icon: "close", quiet: true, kind: "plain", onclick: () => note.remove() }));
  place.append(note);
  while (place.children.length > MOST) place.firstElementChild?.remove();
  if (kind === "bad") return;
  const leave = () => {
    if (note.matches(":focus-within") || note.querySelector("button:hover")) window.setTimeout(leave, VISIBLE);
    else note.remove();
  };
  window.setTimeout(leave, VISIBLE);
}

/** Shows the warnings of an answer of the API. @param {{ warnings?: { detail: string }[] }} answer */
export function notifyWarnings({ warnings = [] }) {
  for (const { detail } of warnings) notify(detail, "caution");
}

/**
 * Opens a dialog window. Settles with the argument of `close`, or null if the user cancelled.
 * @template R
 * @param {string} title
 * @param {(close: (value?: R | null) => void) => {body: Child[], actions: Child[], onsubmit?: () => void}} content
 * @param {{wide?: boolean, locked?: boolean}} [options] `locked`: the Escape key does not close it
 * @returns {Promise<R | null>}
 */
export function openDialog(title, content, { wide = false, locked = false } = {}) {
  return new Promise((resolve) => {
    const app = byId("app");
    const before = document.activeElement;
    const label = newId("title");
    /** @type {R | null} */
    let result = null;
    const { body, actions, onsubmit } = content((value = null) => {
      result = value;
      dialog.close();
    });
    const form = h(
      "form",
      { method: "dialog", novalidate: true, onsubmit: (event) => (event.preventDefault(), onsubmit?.()) },
      h("h2", { id: label }, title),
      body,
      h("div.actions", {}, actions),
    );
    const dialog = h(wide ? "dialog.wide" : "dialog", { "aria-labelledby": label }, form);
    dialog.addEventListener("cancel", (event) => locked && event.preventDefault());
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (!document.querySelector("dialog[open]")) app.removeAttribute("aria-hidden");
      if (before instanceof HTMLElement && before.isConnected) before.focus();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
    app.setAttribute("aria-hidden", "true");
  });
}

/**
 * Asks the user to confirm an action.
 * @param {string} title @param {string} text
 * @param {{action?: string, danger?: boolean, body?: Child[]}} [options] `action`: the text of the button
 * @returns {Promise<boolean>}
 */
export async function confirm(title, text, { action = T.confirm, danger = false, body = [] } = {}) {
  const agreed = await openDialog(title, (/** @type {(value?: boolean) => void} */ close) => ({
    body: [text && h("p", {}, text), body],
    onsubmit: () => close(true),
    actions: [
      button(T.cancel, { onclick: () => close() }),
      button(action, { kind: danger ? "danger" : "primary", type: "submit", autofocus: true }),
    ],
  }));
  return Boolean(agreed);
}

/** A line for an error message, empty at first. */
export function errorLine() {
  const element = h("p.error", { role: "alert", hidden: true });
  return {
    element,
    /** @param {string} text */
    show(text) {
      element.hidden = !text;
      put(element, text ? [icon("alert", 16), h("span", {}, text)] : []);
    },
  };
}
