/** The last hour of the connections in the list: loaded when a row becomes visible, a few at a time. */

import { get } from "./api.js";
import { h, put, s } from "./dom.js";
import { number } from "./format.js";
import { T } from "../texts.js";

const AT_ONCE = 4;
const FRESH = 60_000;
const WIDTH = 96;
const HEIGHT = 24;

/** @typedef {{id: string, devices: HTMLElement, uplinks: HTMLElement}} Cell */

/** @type {Map<string, {at: number, hour: Statistics}>} */
const known = new Map();
/** @type {Cell[]} */
const queue = [];
/** @type {WeakMap<Element, Cell>} */
const cells = new WeakMap();
let running = 0;
let missing = false;

const visible = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    const cell = cells.get(target);
    if (!isIntersecting || !cell) continue;
    visible.unobserve(target);
    queue.push(cell);
    work();
  }
});

/** The statistics of a connection's last hour, or undefined. @param {string} id */
export const hourOf = (id) => known.get(id)?.hour;

/** Two elements that load their content when they become visible. @param {string} id @returns {Cell} */
export function sparkline(id) {
  const devices = h("span.number", {}, T.none);
  const uplinks = h("span.spark", {}, T.none);
  const cell = { id, devices, uplinks };
  const cached = known.get(id);
  if (cached) draw(cell, cached.hour);
  if (!missing && (!cached || Date.now() - cached.at > FRESH)) {
    cells.set(uplinks, cell);
    visible.observe(uplinks);
  }
  return cell;
}

/** @returns {Promise<void>} */
async function work() {
  if (running >= AT_ONCE || missing) return;
  const cell = queue.shift();
  if (!cell) return;
  if (!cell.uplinks.isConnected) {
    work();
    return;
  }
  running += 1;
  try {
    const { json } = await get(`connections/${encodeURIComponent(cell.id)}/statistics?period=1h`);
    known.set(cell.id, { at: Date.now(), hour: json });
    draw(cell, json);
  } catch (problem) {
    // The list is usable without statistics; the details of a connection show the error.
    missing ||= Boolean(problem.missing);
  } finally {
    running -= 1;
    work();
  }
}

/** @param {Cell} cell @param {Statistics} hour */
function draw({ devices, uplinks }, hour) {
  const delivered = hour.uplinks.delivered;
  devices.textContent = number(hour.activeDevices);
  const values = (hour.series || []).map((each) => each.uplinks);
  const highest = Math.max(1, ...values);
  const x = (/** @type {number} */ index) => (values.length < 2 ? 0 : (index / (values.length - 1)) * WIDTH);
  const y = (/** @type {number} */ value) => HEIGHT - 2 - (value / highest) * (HEIGHT - 4);
  const points = values.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT };
  const line = s("polyline", { points, fill: "none" });
  put(
    uplinks,
    h("span.number", {}, number(delivered)),
    values.length > 1 && s("svg.sparkline", { ...box, role: "img", "aria-label": T.list.sparkline(delivered) }, line),
  );
}
