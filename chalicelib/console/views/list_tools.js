/** The search and the filters of the list, and its CSV file. */

import { button, h, newId, put } from "../parts/dom.js";
import { csv, download } from "../parts/format.js";
import { numbersOf } from "../overview/numbers.js";
import { STATES } from "../parts/state.js";
import { causeName } from "../overview/causes.js";
import { T } from "../texts.js";

/** Milliseconds after the last key until the list is searched. */
const PAUSE = 250;

/** @typedef {import("./list.js").Wanted} Wanted */

/**
 * @param {Wanted} wanted is changed by the user
 * @param {{typed: () => void, changed: () => void}} on `typed` is called at once, `changed` when the list must be read
 * @param {() => Promise<Connection[]>} readAll reads the connections of the CSV file
 */
export function listTools(wanted, { typed, changed }, readAll) {
  const searchId = newId("search");
  const search = h("input", {
    id: searchId, type: "search", placeholder: T.list.searchHint, autocomplete: "off", "data-key": "/",
  });
  search.value = wanted.q;
  let timer = 0;
  search.addEventListener("input", () => {
    wanted.q = search.value;
    typed();
    window.clearTimeout(timer);
    timer = window.setTimeout(changed, PAUSE);
  });
  const names = (/** @type {string} */ state) => state.charAt(0) + state.slice(1).toLowerCase().replaceAll("_", " ");
  const state = choices(T.list.state, T.list.allStates, STATES, names, () => wanted.state, (value) => {
    wanted.state = value;
    changed();
  });
  const { protocol: label, allProtocols } = T.list;
  const protocol = choices(label, allProtocols, ["TCP", "SSL"], String, () => wanted.protocol, (value) => {
    wanted.protocol = value;
    changed();
  });
  const cause = h("p.chip", { hidden: !wanted.cause });
  const save = button(T.list.csv, { onclick: () => saveCsv(readAll) });
  const element = h(
    "div.tools",
    { hidden: true },
    h("div.tool.grow", {}, h("label", { for: searchId }, T.list.search), search),
    state.element,
    protocol.element,
    save,
    cause,
  );

  function drawCause() {
    cause.hidden = !wanted.cause;
    const drop = button(T.list.clearCause, {
      icon: "close", quiet: true, kind: "plain", onclick: () => ((wanted.cause = ""), drawCause(), changed()),
    });
    put(cause, h("span", {}, wanted.cause.split(",").map(causeName).join(", ")), drop);
  }

  function clear() {
    Object.assign(wanted, { q: "", state: "", protocol: "", cause: "" });
    search.value = "";
    state.update();
    protocol.update();
    drawCause();
    changed();
  }
  drawCause();
  const isFiltered = () => Boolean(wanted.q.trim() || wanted.state || wanted.protocol || wanted.cause);
  return { element, clear, isFiltered, focus: () => search.focus() };
}

/**
 * A select for one value, and the way to several: a window with a check box for each.
 * @param {string} label @param {string} none the text without a choice @param {string[]} values
 * @param {(value: string) => string} name @param {() => string} chosen values with commas
 * @param {(value: string) => void} choose
 */
function choices(label, none, values, name, chosen, choose) {
  const id = newId("filter");
  const several = h("option", { value: "" });
  const select = h(
    "select",
    { id },
    h("option", { value: "" }, none),
    values.map((value) => h("option", { value }, name(value))),
    several,
    h("option", { value: "*" }, T.list.several),
  );
  // It takes the focus when its text is clicked, so that it stays open then.
  const boxes = h("fieldset.boxes", { hidden: true, tabindex: "-1" }, h("legend.spoken", {}, label));
  for (const value of values) {
    const box = h("input", { type: "checkbox", value, onchange: collect });
    boxes.append(h("label.check", {}, box, h("span", {}, name(value))));
  }

  function collect() {
    choose([...boxes.querySelectorAll("input")].filter((each) => each.checked).map((each) => each.value).join(","));
    update();
  }

  function update() {
    const value = chosen();
    several.hidden = several.disabled = !value.includes(",");
    several.value = value.includes(",") ? value : "-";
    several.textContent = value.split(",").map(name).join(", ");
    select.value = value;
    for (const box of boxes.querySelectorAll("input")) box.checked = value.split(",").includes(box.value);
  }
  select.addEventListener("change", () => {
    if (select.value === "*") {
      boxes.hidden = false;
      select.value = chosen();
      boxes.querySelector("input")?.focus();
      return;
    }
    choose(select.value);
  });
  update();
  const element = h("div.tool.several", {}, h("label", { for: id }, label), select, boxes);
  boxes.addEventListener("focusout", (event) => {
    const to = /** @type {FocusEvent} */ (event).relatedTarget;
    if (!(to instanceof Node && boxes.contains(to))) boxes.hidden = true;
  });
  boxes.addEventListener("keydown", (event) => {
    if (event.key === "Escape") select.focus();
  });
  return { element, update };
}

/** @param {() => Promise<Connection[]>} readAll */
async function saveCsv(readAll) {
  const names = [
    "id", "name", "state", "stateReason", "active", "hostName", "protocol", "exchangeName", "createdAt",
    "activeDevices", "uplinksLastHour", "waiting", "lastMessage",
  ];
  const rows = (await readAll()).map(({ id, name, state, stateReason, active, createdAt, configuration }) => {
    const { statistics, lastMessage } = numbersOf(id) ?? {};
    return [
      id, name, state, stateReason, active, configuration.hostName, configuration.protocol, configuration.exchangeName,
      createdAt, statistics?.activeDevices, statistics?.uplinks.delivered, statistics?.uplinks.waiting, lastMessage,
    ];
  });
  download(T.list.csvName, "text/csv;charset=utf-8", csv([names, ...rows]));
}

