/** The list of messages: each row opens the history of its message. */

import { h } from "../parts/dom.js";
import { moment } from "../parts/format.js";
import { M } from "../texts/messages.js";
import { history } from "./history.js";

/** @param {Map<string, string>} names of the connections @param {() => void} changed is called after a replay */
export function messageList(names, changed) {
  /** @type {Map<string, {face: string, element: HTMLDetailsElement}>} */
  const rows = new Map();
  const element = h("ol.message-list", { "aria-label": M.list });

  /** @param {TracedMessage} message @param {HTMLElement} made */
  function insert(message, made) {
    const item = h("li", { "data-time": message.time }, made);
    const next = [...element.children].find((other) => (other.getAttribute("data-time") ?? "") < message.time);
    element.insertBefore(item, next ?? null);
  }

  return {
    element,
    size: () => rows.size,
    clear() {
      rows.clear();
      element.replaceChildren();
    },
    /** Adds messages, and replaces those that changed; a row that is open stays open. @param {TracedMessage[]} fresh */
    show(fresh) {
      for (const message of fresh) {
        const before = rows.get(message.id);
        const face = JSON.stringify(message);
        if (before?.face === face) continue;
        const made = row(message, names, changed);
        const focused = before?.element.contains(document.activeElement);
        made.open = before?.element.open ?? false;
        before?.element.closest("li")?.remove();
        rows.set(message.id, { face, element: made });
        insert(message, made);
        if (focused) made.querySelector("summary")?.focus({ preventScroll: true });
      }
    },
  };
}

/** @param {TracedMessage} message @param {Map<string, string>} names @param {() => void} changed */
function row(message, names, changed) {
  const { status, time, direction, devEUI, fCntUp, connectionId, routingKey, attempts, reason, type } = message;
  const what = [
    M.directions[direction],
    type && type !== "DevEUI_uplink" && type !== "DevEUI_downlink" ? type : "",
    fCntUp === null ? "" : M.counter(fCntUp),
    names.get(connectionId) ?? connectionId,
    attempts > 1 ? M.tries(attempts) : "",
  ].filter(Boolean);
  const summary = h(
    "summary",
    {},
    h(`span.message-status.${status}`, {}, M.statuses[status]),
    h("time.number", { datetime: time }, moment(time)),
    h("span.mono.message-device", {}, devEUI ?? ""),
    h("span.message-what", {}, what.join(" · ")),
    h("code.message-key", {}, status === "delivered" ? routingKey : reason),
  );
  const element = h("details.message", {}, summary);
  element.addEventListener("toggle", () => {
    if (element.open && element.children.length === 1) element.append(history(message, changed));
  });
  return element;
}
