/** The filters of the list of messages, which the address of the view has, too. */

import { button, h, newId } from "../parts/dom.js";
import { M } from "../texts/messages.js";

const DEVICE = /^[0-9a-f]{16}$/i;

/**
 * @param {URLSearchParams} given @param {Map<string, string>} names of the connections
 * @param {() => void} search is called with good filters only
 */
export function filterForm(given, names, search) {
  const device = input("devEUI", { class: "mono", maxlength: "23", autocomplete: "off", spellcheck: "false" });
  device.value = given.get("devEUI") ?? "";
  const from = input("from", { type: "datetime-local", value: fromIso(given.get("from")) });
  const to = input("to", { type: "datetime-local", value: fromIso(given.get("to")) });
  const connection = select("connectionId", M.allConnections, [...names]);
  const status = select("status", M.allStatuses, Object.entries(M.statuses));
  const direction = select("direction", M.bothDirections, Object.entries(M.directions));
  const error = h("span.error.small", { id: newId("device-error"), hidden: true }, M.deviceWrong);
  device.setAttribute("aria-describedby", error.id);
  const submit = button(M.search, { kind: "primary", type: "submit" });

  /** @param {string} name @param {Attributes} attributes */
  function input(name, attributes) {
    return h("input", { id: newId(name), name, ...attributes });
  }

  /** @param {string} name @param {string} all @param {[string, string][]} choices */
  function select(name, all, choices) {
    const options = [["", all], ...choices].map(([value, text]) => h("option", { value }, text));
    const made = h("select", { id: newId(name), name }, options);
    made.value = given.get(name) ?? "";
    return made;
  }

  const typed = () => device.value.replace(/[\s:-]/g, "");

  function check() {
    const wrong = typed() !== "" && !DEVICE.test(typed());
    error.hidden = !wrong;
    device.setAttribute("aria-invalid", String(wrong));
    if (wrong) device.focus();
    else search();
  }

  const tool = (/** @type {string} */ text, /** @type {HTMLElement} */ control, /** @type {Child} */ more = null) =>
    h("div.tool", {}, h("label", { for: control.id }, text), control, more);
  const element = h(
    "form.tools.message-filters",
    { role: "search", novalidate: true, onsubmit: (event) => (event.preventDefault(), check()) },
    tool(M.device, device, error),
    tool(M.connection, connection),
    tool(M.status, status),
    tool(M.direction, direction),
    tool(M.from, from),
    tool(M.to, to),
    submit,
  );
  return {
    element,
    /** The filters that are set, as the API names them. */
    values() {
      const set = new URLSearchParams();
      const all = {
        devEUI: typed().toUpperCase(),
        connectionId: connection.value,
        status: status.value,
        direction: direction.value,
        from: toIso(from.value),
        to: toIso(to.value),
      };
      for (const [name, value] of Object.entries(all)) if (value) set.set(name, value);
      return set;
    },
  };
}

/** A time for an input of the browser's time zone. @param {number} milliseconds */
export function localTime(milliseconds) {
  const offset = new Date(milliseconds).getTimezoneOffset() * 60_000;
  return new Date(milliseconds - offset).toISOString().slice(0, 16);
}

/** @param {string | null} text */
const fromIso = (text) => (text && !Number.isNaN(Date.parse(text)) ? localTime(Date.parse(text)) : "");

/** @param {string} local */
const toIso = (local) => (local ? new Date(local).toISOString() : "");
