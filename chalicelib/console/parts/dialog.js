/** Windows above the page, and the notifications at its upper right. */

import { button, h, icon, newId, put } from "./dom.js";
import { T } from "../texts.js";

const STAYS = 7000;

/** Tells something that was done; `kind` is "good" or "bad". What went wrong stays until it is dismissed. */
export function notify(text, kind = "good") {
  const place = document.getElementById("notifications");
  const note = h(
    `div.notification.${kind}`,
    {},
    icon(kind === "good" ? "check" : "alert"),
    h("p", {}, text),
    button(T.dismiss, { icon: "close", quiet: true, kind: "plain", onclick: () => note.remove() }),
  );
  place.append(note);
  while (place.children.length > 4) place.firstElementChild.remove();
  if (kind === "bad") return;
  const leave = () => {
    if (note.matches(":focus-within") || note.querySelector("button:hover")) window.setTimeout(leave, STAYS);
    else note.remove();
  };
  window.setTimeout(leave, STAYS);
}

/**
 * Opens a window and settles with what its `close` was called with, null when it was cancelled or escaped from.
 * @param {string} title
 * @param {(close: (value?: unknown) => void) => {body: unknown[], actions: Node[], onsubmit?: () => void}} content
 * @param {{wide?: boolean, locked?: boolean}} [options] `locked`: it cannot be escaped from
 */
export function openDialog(title, content, { wide = false, locked = false } = {}) {
  return new Promise((resolve) => {
    const app = document.getElementById("app");
    const before = document.activeElement;
    const label = newId("title");
    let result = null;
    const close = (value = null) => {
      result = value;
      dialog.close();
    };
    const { body, actions, onsubmit } = content(close);
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

/** Asks whether to go on. @returns {Promise<boolean>} */
export function confirm(title, text, { action = T.confirm, danger = false, body = [] } = {}) {
  return openDialog(title, (close) => ({
    body: [text && h("p", {}, text), body],
    onsubmit: () => close(true),
    actions: [
      button(T.cancel, { onclick: () => close() }),
      button(action, { kind: danger ? "danger" : "primary", type: "submit", autofocus: true }),
    ],
  })).then(Boolean);
}

/** A line that says what went wrong, empty at first. */
export function errorLine() {
  const line = h("p.error", { role: "alert", hidden: true });
  return {
    element: line,
    tell(text) {
      line.hidden = !text;
      put(line, text ? [icon("alert", 16), h("span", {}, text)] : []);
    },
  };
}
