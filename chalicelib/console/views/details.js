/** One connection: its state, traffic, settings, events, failed messages and alarms. */

import { get, remove } from "../parts/api.js";
import { confirm, errorLine, notify, openDialog } from "../parts/dialog.js";
import { button, crumb, every, h, newId, put, whileRemoving } from "../parts/dom.js";
import { isPassing } from "../parts/state.js";
import { flowLink, flowsOf } from "../flows/routing.js";
import { alarmsSection } from "./alarms.js";
import { callsSection } from "../calls/section.js";
import { eventsSection } from "./events.js";
import { headSection } from "./head.js";
import { messagesSection } from "./messages.js";
import { settingsSection } from "./settings.js";
import { statisticsSection } from "./statistics.js";
import { T } from "../texts.js";

/** @param {HTMLElement} place @param {string} id */
export function detailsView(place, id) {
  const path = `connections/${encodeURIComponent(id)}`;
  const title = h("h1", { tabindex: "-1" }, T.loading);
  const trouble = errorLine();
  const rest = h("div.details", {});
  /** @type {(() => void)[]} */
  const stops = [];
  /** @type {Connection | null} */
  let connection = null;
  /** @type {Section[] | null} */
  let sections = null;

  async function load() {
    try {
      const { json } = await get(path);
      if (rest.isConnected) show(json);
      trouble.show("");
    } catch (problem) {
      if (!rest.isConnected) return;
      if (problem.status === 404) {
        title.textContent = T.details.gone;
        trouble.show("");
        put(rest);
        leave();
        return;
      }
      trouble.show(problem.message);
      if (!connection) title.textContent = T.connections;
    }
  }

  /** @param {Connection} fresh */
  function show(fresh) {
    connection = fresh;
    sections ??= build();
    title.textContent = fresh.name;
    document.title = `${fresh.name} – ${T.product}`;
    for (const section of sections) section.update();
  }

  function build() {
    const current = () => /** @type {Connection} */ (connection);
    const changed = (/** @type {Connection} */ fresh) => (show(fresh), history.load());
    const head = headSection(current, changed, { path, reload: load, restarted: () => history.load() });
    const messages = messagesSection(id, () => statistics.load());
    const statistics = statisticsSection(id, ({ uplinks, downlinks }) =>
      messages.setWaiting(uplinks.waiting + downlinks.waiting),
    );
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
      callsSection(current, path),
      removal(current, path, rest),
    );
    return [head, settings, alarms];
  }

  function leave() {
    for (const stop of stops) stop();
  }

  put(place, crumb("#/connections", T.connections), title, trouble.element, rest);
  title.focus({ preventScroll: true });
  load();
  stops.push(every(() => (connection && isPassing(connection) ? 1 : 5), rest, load));
  return leave;
}

/**
 * The button that deletes the connection.
 * @param {() => Connection} current @param {string} path @param {Element} rest
 */
function removal(current, path, rest) {
  async function ask() {
    const { name } = current();
    if (!(await typedName(name))) return;
    try {
      await whileRemoving(rest, () => remove(path));
    } catch (problem) {
      if (problem.status !== 409) notify(problem.message, "bad");
      else if (await removeUsed(current(), path, rest)) done(name);
      return;
    }
    done(name);
  }
  const done = (/** @type {string} */ name) => {
    notify(T.details.deleted(name));
    location.hash = "#/";
  };
  const open = button(T.details.delete, { kind: "danger", onclick: ask });
  return h("section.panel.removal", {}, h("p.muted", {}, T.details.dangerText), open);
}

/**
 * Shows the flows that name the connection, and deletes it from them if the user agrees.
 * @param {Connection} connection @param {string} path @param {Element} rest
 */
async function removeUsed({ id }, path, rest) {
  try {
    const flows = (await flowsOf(id)).map((each) => h("li", {}, flowLink(each)));
    const options = { action: T.flows.usedDelete, danger: true, body: [h("ul.used", {}, flows)] };
    if (!(await confirm(T.flows.usedTitle, T.flows.usedText, options))) return false;
    await whileRemoving(rest, () => remove(`${path}?force=true`));
    return true;
  } catch (problem) {
    notify(problem.message, "bad");
    return false;
  }
}

/** Asks the user to type the name of the connection. @param {string} name @returns {Promise<boolean | null>} */
function typedName(name) {
  return openDialog(T.details.deleteTitle(name), (close) => {
    const error = errorLine();
    const id = newId("name");
    const hint = newId("hint");
    const input = h("input", {
      id, type: "text", autocomplete: "off", spellcheck: "false", autofocus: true, "aria-describedby": hint,
    });
    const label = h("div.label", {}, h("label", { for: id }, T.details.deleteField));
    return {
      body: [
        h("p", {}, T.details.deleteText),
        h("div.field", {}, label, h("p.hint", { id: hint }, T.details.deleteHint(name)), input, error.element),
      ],
      onsubmit: () => {
        if (input.value.trim() === name.trim()) close(true);
        else {
          error.show(T.details.deleteMismatch);
          input.focus();
        }
      },
      actions: [
        button(T.cancel, { onclick: () => close() }),
        button(T.details.delete, { kind: "danger", type: "submit" }),
      ],
    };
  });
}
