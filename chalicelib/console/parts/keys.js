/** Keyboard shortcuts. They do nothing while the user types, or while a window is open. */

import { button, h } from "./dom.js";
import { openDialog } from "./dialog.js";
import { T } from "../texts.js";

/** Milliseconds between the keys of a shortcut with two keys. */
const PAUSE = 1000;

/** @type {Record<string, string>} */
const ADDRESSES = {
  c: "#/create", "g o": "#/", "g c": "#/connections", "g m": "#/messages", "g f": "#/flows", "g d": "#/drivers",
  "g n": "#/notifications", "g i": "#/configuration",
};

/** Shows the shortcuts. */
export function showKeys() {
  const rows = Object.entries(T.keys.list).map(([keys, text]) =>
    h("div", {}, h("dt", {}, keys.split(" ").map((key) => h("kbd", {}, key))), h("dd", {}, text)));
  return openDialog(T.keys.title, (close) => ({
    body: [h("dl.keys", {}, rows)],
    onsubmit: () => close(),
    actions: [button(T.close, { type: "submit", autofocus: true })],
  }));
}

/** @param {EventTarget | null} target */
const typesIn = (target) =>
  target instanceof HTMLElement && Boolean(target.closest("input:not([type=checkbox]), select, textarea"));

/** Listens for shortcuts. @param {() => boolean} enabled */
export function listenForKeys(enabled) {
  let before = "";
  let at = 0;
  window.addEventListener("keydown", (event) => {
    const { key, ctrlKey, metaKey, altKey, target } = event;
    if (!enabled() || ctrlKey || metaKey || altKey || typesIn(target) || document.querySelector("dialog[open]")) return;
    const both = Date.now() - at < PAUSE ? `${before} ${key}` : key;
    before = key;
    at = Date.now();
    const address = ADDRESSES[both] ?? ADDRESSES[key];
    const search = document.querySelector("[data-key='/']");
    if (key === "?") showKeys();
    else if (key === "/" && search instanceof HTMLElement) search.focus();
    else if (address) location.hash = address;
    else return;
    event.preventDefault();
  });
}
