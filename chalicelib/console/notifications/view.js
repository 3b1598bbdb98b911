/** The notifications of the tenant: their settings, a test, the secret and the last deliveries. */

import { call, get, post, remove } from "../parts/api.js";
import { confirm, errorLine, notify } from "../parts/dialog.js";
import { heading } from "../parts/document.js";
import { button, h, put } from "../parts/dom.js";
import { deliveriesSection } from "./deliveries.js";
import { settingsForm } from "./form.js";
import { T } from "../texts.js";
import { N } from "../texts/notifications.js";

/** @param {HTMLElement} place */
export function notificationsView(place) {
  const trouble = errorLine();
  const body = h("div", {}, h("p.muted", {}, T.loading));
  const secret = h("div", { "aria-live": "polite" });
  const deliveries = deliveriesSection();

  async function loadSettings() {
    try {
      const stored = await read();
      trouble.show("");
      put(body, panel(stored));
    } catch (problem) {
      put(body);
      trouble.show(problem.message);
    }
  }

  /** @param {NotificationSettings | undefined} stored */
  function panel(stored) {
    const form = settingsForm(stored, save);
    const result = h("p.hint.sent", { "aria-live": "polite" });
    const tools = stored && [
      button(N.test, { onclick: () => test(result) }),
      stored.secret && button(N.rotate, { onclick: rotate }),
      button(N.remove, { kind: "danger", onclick: () => drop(stored.version) }),
    ];
    if (tools) form.actions.append(...tools.filter((each) => each instanceof HTMLElement));
    return [!stored && h("p.muted", {}, N.empty), form.element, result];
  }

  /** @param {unknown} document @param {number} version */
  async function save(document, version) {
    const headers = { "If-Match": `"${version}"` };
    const { json } = await call("PUT", "notifications", { body: document, headers });
    if (json.secret?.startsWith("whsec_")) showSecret(secret, json.secret);
    await loadSettings();
    notify(N.saved);
    await deliveries.load();
  }

  /** @param {HTMLElement} result */
  async function test(result) {
    put(result, N.testing);
    try {
      const { json } = await post("notifications/test");
      put(result, json.status === "delivered" ? N.passed(json.milliseconds) : json.detail);
    } catch (problem) {
      put(result, problem.message);
    }
    await deliveries.load();
  }

  async function rotate() {
    if (!(await confirm(N.rotate, N.rotateText))) return;
    try {
      const { json } = await post("notifications/rotate-secret");
      showSecret(secret, json.secret);
    } catch (problem) {
      notify(problem.message, "bad");
    }
  }

  /** @param {number} version */
  async function drop(version) {
    if (!(await confirm(N.removeTitle, N.removeText, { action: N.remove, danger: true }))) return;
    try {
      await remove("notifications", { headers: { "If-Match": `"${version}"` } });
      put(secret);
      await loadSettings();
      notify(N.removed);
      await deliveries.load();
    } catch (problem) {
      notify(problem.message, "bad");
    }
  }

  put(place, heading(T.notifications), h("p.muted", {}, N.intro), trouble.element, secret, body, deliveries.element);
  loadSettings();
  deliveries.load();
}

/** The settings, undefined if there are none. @returns {Promise<NotificationSettings | undefined>} */
async function read() {
  try {
    const { json } = await get("notifications");
    return json;
  } catch (problem) {
    if (problem.status === 404 && !problem.missing) return undefined;
    throw problem;
  }
}

/** Shows a new secret until the user leaves the view. @param {HTMLElement} place @param {string} text */
function showSecret(place, text) {
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    notify(N.copied);
  };
  const hint = h("p.hint", {}, N.secretHint);
  const code = h("pre.mono", { tabindex: "0", "aria-label": N.secret }, text);
  const copier = button(N.copy, { icon: "copy", onclick: copy });
  put(place, h("section.panel.secret", {}, h("h2", {}, N.secret), hint, code, copier));
  place.scrollIntoView({ block: "nearest" });
}
