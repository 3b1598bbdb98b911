/** The last hour of the connections in the list: asked for when a row is seen, a few at a time. */

import { get } from "./api.js";
import { h, put, s } from "./dom.js";
import { number } from "./format.js";
import { T } from "../texts.js";

const AT_ONCE = 4;
const KEPT = 60_000;
const WIDTH = 96;
const HEIGHT = 24;

/** @type {Map<string, {at: number, hour: any}>} */
const known = new Map();
const waiting = [];
const cells = new WeakMap();
let running = 0;
let missing = false;

const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    waiting.push(cells.get(target));
    work();
  }
});

/** The statistics of a connection's last hour, or undefined. */
export const hourOf = (id) => known.get(id)?.hour;

/** Two elements that fill themselves once they are seen. */
export function sparkline(id) {
  const devices = h("span.number", {}, T.none);
  const uplinks = h("span.spark", {}, T.none);
  const cell = { id, devices, uplinks };
  const kept = known.get(id);
  if (kept) draw(cell, kept.hour);
  if (!missing && (!kept || Date.now() - kept.at > KEPT)) {
    cells.set(uplinks, cell);
    seen.observe(uplinks);
  }
  return cell;
}

async function work() {
  if (running >= AT_ONCE || missing) return;
  const cell = waiting.shift();
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
    // The list is whole without; what is wrong is told where it matters more.
    missing ||= Boolean(problem.missing);
  } finally {
    running -= 1;
    work();
  }
}

function draw({ devices, uplinks }, hour) {
  const delivered = hour.uplinks.delivered;
  devices.textContent = number(hour.activeDevices);
  const values = (hour.series || []).map((each) => each.uplinks);
  const highest = Math.max(1, ...values);
  const x = (index) => (values.length < 2 ? 0 : (index / (values.length - 1)) * WIDTH);
  const y = (value) => HEIGHT - 2 - (value / highest) * (HEIGHT - 4);
  const points = values.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  put(
    uplinks,
    h("span.number", {}, number(delivered)),
    values.length > 1 &&
      s(
        "svg.sparkline",
        { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, role: "img", "aria-label": T.list.sparkline(delivered) },
        s("polyline", { points, fill: "none" }),
      ),
  );
}
