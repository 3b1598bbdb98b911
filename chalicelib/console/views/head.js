/** The head of a connection: its state with the reason, and the actions on it. */

import { patch, post } from "../parts/api.js";
import { testPanel } from "../parts/connection_test.js";
import { confirm, notify, notifyWarnings } from "../parts/dialog.js";
import { button, h, put } from "../parts/dom.js";
import { moment } from "../parts/format.js";
import { stateBadge } from "../parts/state.js";
import { routingLine } from "../flows/routing.js";
import { T } from "../texts.js";

/**
 * @param {() => Connection} current
 * @param {(connection: Connection) => void} changed is called with the connection after a change
 * @param {{path: string, reload: () => Promise<void>, restarted: () => void}} page
 */
export function headSection(current, changed, { path, reload, restarted }) {
  const state = h("div.state-line", { "aria-live": "polite" });
  const identity = h("code", {});
  const knob = h("span.knob", { "aria-hidden": "true" });
  const active = h(
    "button.switch",
    { type: "button", role: "switch", onclick: toggle },
    knob,
    h("span", {}, T.details.active),
  );
  const restartButton = button(T.details.restart, { onclick: restart });
  const panel = testPanel();
  const test = button(T.details.test, { onclick: () => panel.run(`${path}/test`, {}) });
  const copy = button(T.details.copy, { icon: "copy", quiet: true, kind: "plain", onclick: copyId });
  const id = h("p.identity", {}, h("span.muted", {}, `${T.details.id} `), identity, copy);
  const routing = routingLine(current);
  const actions = h("div.head-actions", {}, active, restartButton, test);
  const row = h("div.head-row", {}, h("div.head-state", {}, state, routing.element, id), actions);
  const element = h("section.head", {}, row, panel.element);

  function update() {
    const connection = current();
    const face = [connection.state, connection.stateReason, connection.startupTime, connection.nextAttempt].join();
    if (state.dataset.face !== face) {
      state.dataset.face = face;
      put(state, stateLine(connection));
    }
    routing.update();
    identity.textContent = connection.id;
    active.setAttribute("aria-checked", String(connection.active));
    restartButton.disabled = !connection.active;
  }

  async function toggle() {
    const wanted = !current().active;
    if (!wanted && !(await confirm(T.details.deactivateTitle, T.details.deactivate))) return;
    active.disabled = true;
    try {
      const { json } = await patch(current(), { active: wanted });
      changed(json);
      notify(wanted ? T.details.activated : T.details.deactivated);
      notifyWarnings(json);
    } catch (problem) {
      if (problem.status === 412) await reload();
      notify(problem.message, "bad");
    } finally {
      active.disabled = false;
      active.focus();
    }
  }

  async function restart() {
    try {
      changed((await post(`${path}/restart`)).json);
      notify(T.details.restarted);
      restarted();
    } catch (problem) {
      notify(problem.message, "bad");
    }
  }

  async function copyId() {
    try {
      await navigator.clipboard.writeText(current().id);
      notify(T.details.copied);
    } catch {
      getSelection()?.selectAllChildren(identity);
    }
  }
  return { element, update };
}

/** @param {Connection} connection @returns {Child[]} */
function stateLine(connection) {
  const { state, stateReason, startupTime, nextAttempt } = connection;
  return [
    stateBadge(connection),
    h("span.reason", {}, stateReason || T.states[state] || ""),
    state === "OPENED" && startupTime ? h("span.muted", {}, T.details.since(moment(startupTime))) : null,
    nextAttempt ? h("span.muted", {}, T.details.next(moment(nextAttempt))) : null,
  ];
}
