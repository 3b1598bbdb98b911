/** The numbers of the connections in the list: read for the visible rows, several connections with each call. */

import { get } from "../parts/api.js";
import { h, put, s } from "../parts/dom.js";
import { onSignOut } from "../parts/forget.js";
import { number } from "../parts/format.js";
import { ago } from "../parts/times.js";
import { T } from "../texts.js";

const FRESH = 20_000;
const MOST = 25;
/** Milliseconds in which rows that become visible share a call. */
const GATHER = 30;
const WIDTH = 72;
const HEIGHT = 24;

/** @typedef {Record<"devices" | "uplinks" | "waiting" | "failed" | "last" | "since", HTMLElement>} Cells */

/** @type {Map<string, {at: number, numbers: Numbers}>} */
const known = new Map();
/** @type {Map<string, Cells>} */
const wanted = new Map();
/** @type {WeakMap<Element, {id: string, cells: Cells}>} */
const rows = new WeakMap();
let timer = 0;
onSignOut(() => (known.clear(), wanted.clear()));

const visible = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    const row = rows.get(target);
    if (!isIntersecting || !row) continue;
    visible.unobserve(target);
    wanted.set(row.id, row.cells);
    timer ||= window.setTimeout(work, GATHER);
  }
});

/** The numbers of a connection, or undefined. @param {string} id */
export const numbersOf = (id) => known.get(id)?.numbers;

/** Elements that load their content when they become visible. @param {string} id @returns {Cells} */
export function numberCells(id) {
  const cell = () => h("span.number", {}, T.none);
  const cells = {
    devices: cell(), uplinks: h("span.spark", {}, T.none), waiting: cell(), failed: cell(), last: cell(), since: cell(),
  };
  const cached = known.get(id);
  if (cached) draw(cells, cached.numbers);
  ask(id, cells);
  return cells;
}

/** Reads the numbers again when they are old and visible. @param {string} id @param {Cells} cells */
export function ask(id, cells) {
  const cached = known.get(id);
  if (cached && Date.now() - cached.at < FRESH) return;
  rows.set(cells.uplinks, { id, cells });
  visible.observe(cells.uplinks);
}

/** Draws the times again, which are relative. @param {string} id @param {Cells} cells */
export function redraw(id, cells) {
  const cached = known.get(id);
  if (cached) draw(cells, cached.numbers);
}

async function work() {
  timer = 0;
  const some = [...wanted].slice(0, MOST);
  for (const [id] of some) wanted.delete(id);
  if (wanted.size) timer = window.setTimeout(work, 0);
  const shown = some.filter(([, cells]) => cells.uplinks.isConnected);
  if (!shown.length) return;
  try {
    const { json } = await get(`connections/statistics?ids=${shown.map(([id]) => id).join(",")}`);
    const cells = new Map(shown);
    for (const numbers of json) {
      known.set(numbers.id, { at: Date.now(), numbers });
      const row = cells.get(numbers.id);
      if (row) draw(row, numbers);
    }
  } catch {
    // The list is usable without numbers, and its next refresh reads them again.
  }
}

/** @param {Cells} cells @param {Numbers} numbers */
function draw({ devices, uplinks, waiting, failed, last, since }, { statistics, lastMessage, since: begin }) {
  const { uplinks: up, downlinks: down, series = [] } = statistics;
  devices.textContent = number(statistics.activeDevices);
  count(waiting, up.waiting + down.waiting, "busy");
  count(failed, up.failed + down.failed, "bad");
  put(last, ago(lastMessage, T.list.never));
  put(since, ago(begin));
  drawLine(uplinks, up.delivered, series.map((each) => each.uplinks));
}

/** @param {HTMLElement} element @param {number} value @param {string} kind */
function count(element, value, kind) {
  element.textContent = number(value);
  element.className = value ? `number ${kind}` : "number";
}

/** @param {HTMLElement} place @param {number} delivered @param {number[]} values */
function drawLine(place, delivered, values) {
  const highest = Math.max(1, ...values);
  const x = (/** @type {number} */ index) => (values.length < 2 ? 0 : (index / (values.length - 1)) * WIDTH);
  const y = (/** @type {number} */ value) => HEIGHT - 2 - (value / highest) * (HEIGHT - 4);
  const points = values.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT };
  const line = s("polyline", { points, fill: "none" });
  put(
    place,
    h("span.number", {}, number(delivered)),
    values.length > 1 && s("svg.sparkline", { ...box, role: "img", "aria-label": T.list.sparkline(delivered) }, line),
  );
}
