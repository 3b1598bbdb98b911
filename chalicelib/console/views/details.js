/** One connection: its state, its traffic, its settings, and what happened to it. */

import { get, patch, post, remove } from "../parts/api.js";
import { alarmsSection } from "./alarms.js";
import { confirm, errorLine, notify, openDialog } from "../parts/dialog.js";
import { button, every, h, icon, newId, put, takingAway } from "../parts/dom.js";
import { eventsSection } from "./events.js";
import { moment } from "../parts/format.js";
import { messagesSection } from "./messages.js";
import { testPanel } from "../parts/connection_test.js";
import { settingsSection } from "./settings.js";
import { isPassing, stateBadge } from "../parts/state.js";
import { statisticsSection } from "./statistics.js";
import { T } from "../texts.js";

export function detailsView(place, id) {
  const path = `connections/${encodeURIComponent(id)}`;
  const title = h("h1", { tabindex: "-1" }, T.loading);
  const crumb = h("a.crumb", { href: "#/" }, icon("left", 16), T.connections);
  const trouble = errorLine();
  const rest = h("div.details", {});
  const stops = [];
  let connection = null;
  let parts = null;

  async function load() {
    try {
      const { json } = await get(path);
      if (rest.isConnected) show(json);
      trouble.tell("");
      return json;
    } catch (problem) {
      if (!rest.isConnected) return null;
      trouble.tell(problem.message);
      if (problem.status === 404) {
        title.textContent = T.details.gone;
        trouble.tell("");
        put(rest);
        leave();
      } else if (!connection) title.textContent = T.connections;
      return null;
    }
  }

  function show(fresh) {
    connection = fresh;
    parts ??= build();
    title.textContent = connection.name;
    document.title = `${connection.name} – ${T.product}`;
    for (const part of parts) part.update();
  }

  function build() {
    const current = () => connection;
    const changed = (fresh) => (show(fresh), history.load());
    const head = headSection(current, changed, { path, reload: load, again: () => history.load() });
    const messages = messagesSection(id, () => statistics.load());
    const statistics = statisticsSection(id, ({ uplinks, downlinks }) => messages.tellWaiting(uplinks.waiting + downlinks.waiting));
    const settings = settingsSection(current, changed, load);
    const alarms = alarmsSection(current, changed);
    const history = eventsSection(id);
    stops.push(statistics.stop, messages.stop, history.stop);
    put(
      rest,
      head.element,
      statistics.element,
      h("div.columns", {}, settings.element, history.element),
      messages.element,
      alarms.element,
      removal(current, path, rest),
    );
    return [head, settings, alarms];
  }

  function leave() {
    for (const stop of stops) stop();
  }

  put(place, crumb, title, trouble.element, rest);
  title.focus({ preventScroll: true });
  load();
  stops.push(every(() => (connection && isPassing(connection) ? 1 : 5), rest, load));
  return leave;
}

/** State with its reason, and what can be done about it. */
function headSection(current, changed, { path, reload, again }) {
  const state = h("div.state-line", { "aria-live": "polite" });
  const identity = h("code", {});
  const active = h("button.switch", { type: "button", role: "switch", onclick: toggle }, h("span.knob", { "aria-hidden": "true" }), h("span", {}, T.details.active));
  const restartButton = button(T.details.restart, { onclick: restart });
  const panel = testPanel();
  const test = button(T.details.test, { onclick: () => panel.run(`${path}/test`, {}) });
  const copy = button(T.details.copy, { icon: "copy", quiet: true, kind: "plain", onclick: copyId });
  const element = h(
    "section.head",
    {},
    h("div.head-row", {}, h("div.head-state", {}, state, h("p.identity", {}, h("span.muted", {}, `${T.details.id} `), identity, copy)), h("div.head-actions", {}, active, restartButton, test)),
    panel.element,
  );

  function update() {
    const connection = current();
    const face = [connection.state, connection.stateReason, connection.startupTime, connection.nextAttempt].join();
    if (state.dataset.face !== face) {
      state.dataset.face = face;
      const since = connection.state === "OPENED" && connection.startupTime && T.details.since(moment(connection.startupTime));
      const next = connection.nextAttempt && T.details.next(moment(connection.nextAttempt));
      put(state, stateBadge(connection), h("span.reason", {}, connection.stateReason || T.states[connection.state] || ""), since && h("span.muted", {}, since), next && h("span.muted", {}, next));
    }
    identity.textContent = connection.id;
    active.setAttribute("aria-checked", String(connection.active));
    restartButton.disabled = !connection.active;
  }

  async function toggle() {
    const wanted = !current().active;
    if (!wanted && !(await confirm(T.details.deactivateTitle, T.details.deactivate))) return;
    active.disabled = true;
    try {
      changed((await patch(current(), { active: wanted })).json);
      notify(wanted ? T.details.activated : T.details.deactivated);
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
      again();
    } catch (problem) {
      notify(problem.message, "bad");
    }
  }

  async function copyId() {
    try {
      await navigator.clipboard.writeText(current().id);
      notify(T.details.copied);
    } catch {
      getSelection().selectAllChildren(identity);
    }
  }
  return { element, update };
}

function removal(current, path, rest) {
  async function ask() {
    const { name } = current();
    const agreed = await openDialog(T.details.deleteTitle(name), (close) => {
      const error = errorLine();
      const field = newId("name");
      const hint = newId("hint");
      const input = h("input", { id: field, type: "text", autocomplete: "off", spellcheck: "false", autofocus: true, "aria-describedby": hint });
      return {
        body: [
          h("p", {}, T.details.deleteText),
          h("div.field", {}, h("div.label", {}, h("label", { for: field }, T.details.deleteField)), h("p.hint", { id: hint }, T.details.deleteHint(name)), input, error.element),
        ],
        onsubmit: () => {
          if (input.value.trim() === name.trim()) return close(true);
          error.tell(T.details.deleteMismatch);
          return input.focus();
        },
        actions: [button(T.cancel, { onclick: () => close() }), button(T.details.delete, { kind: "danger", type: "submit" })],
      };
    });
    if (!agreed) return;
    try {
      await takingAway(rest, () => remove(path));
      notify(T.details.deleted(name));
      location.hash = "#/";
    } catch (problem) {
      notify(problem.message, "bad");
    }
  }
  return h("section.panel.removal", {}, h("p.muted", {}, T.details.dangerText), button(T.details.delete, { kind: "danger", onclick: ask }));
}
