/** Rings, and the chart of messages over time, as inline SVG. */

import { h, put, s } from "./dom.js";
import { clock, moment, number } from "./format.js";
import { T } from "../texts.js";

const RADIUS = 50;
const CIRCUMFERENCE = 2 * Math.PI * RADIUS;
/** @type {Part[]} */
const PARTS = ["delivered", "failed", "lost", "waiting"];
/** @type {Series[]} */
const SERIES = ["uplinks", "downlinks", "failed"];
const HEIGHT = 220;
const MARGIN = { top: 12, right: 12, bottom: 26, left: 44 };

/** A ring of delivered, failed, lost and waiting messages, with their numbers. @param {string} title */
export function ring(title) {
  const figure = s("svg.ring", { viewBox: "0 0 128 128", width: 128, height: 128, role: "img", "aria-label": title });
  const legend = h("dl.legend", {});
  const element = h("section.card.ring-card", {}, h("h3", {}, title), h("div.ring-row", {}, figure, legend));

  /** @param {Counts} counts */
  function update(counts) {
    const total = PARTS.reduce((sum, part) => sum + (counts[part] || 0), 0);
    const words = PARTS.map((part) => `${T.statistics.parts[part]} ${number(counts[part] || 0)}`).join(", ");
    figure.setAttribute("aria-label", `${title}: ${words}`);
    let turned = 0;
    const arcs = PARTS.filter((part) => counts[part] > 0).map((part) => {
      const share = counts[part] / total;
      const arc = ringArc(part, share, turned);
      turned += share;
      return arc;
    });
    put(
      figure,
      s("circle.arc.track", { cx: 64, cy: 64, r: RADIUS, fill: "none" }),
      arcs,
      s("text.ring-number", { x: 64, y: 66, "text-anchor": "middle" }, compact(total)),
      s("text.ring-label", { x: 64, y: 83, "text-anchor": "middle" }, T.statistics.total),
    );
    put(legend, PARTS.map((part) => legendRow(part, counts[part] || 0)));
  }
  return { element, update };
}

/** @param {Part} part @param {number} share of the ring @param {number} turned share of the parts before */
function ringArc(part, share, turned) {
  // A small part is still visible.
  const length = Math.max(share * CIRCUMFERENCE - (share < 1 ? 2 : 0), 1.5);
  return s(`circle.arc.${part}`, {
    cx: 64, cy: 64, r: RADIUS, fill: "none", "stroke-dasharray": `${length} ${CIRCUMFERENCE - length}`,
    "stroke-dashoffset": -turned * CIRCUMFERENCE, transform: "rotate(-90 64 64)",
  });
}

/** @param {string} name */
const swatch = (name) => h(`span.swatch.${name}`, { "aria-hidden": "true" });

/** @param {Part} part @param {number} count */
function legendRow(part, count) {
  return h("div", {}, h("dt", {}, swatch(part), T.statistics.parts[part]), h("dd", {}, number(count)));
}

const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
/** @param {number} value */
const compact = (value) => (value < 100_000 ? number(value) : SHORT.format(value));

/** A whole number that is at least the highest value and divides into four. @param {number} value */
function ceiling(value) {
  const step = 10 ** Math.floor(Math.log10(Math.max(value, 4)));
  const nice = [1, 2, 4, 6, 8, 10, 12].map((factor) => factor * step).find((each) => each >= value && each % 4 === 0);
  return nice || Math.max(4, Math.ceil(value / 4) * 4);
}

/** @param {Point[]} points */
function summaryOf(points) {
  const sum = (/** @type {Series} */ name) => points.reduce((total, each) => total + (each[name] || 0), 0);
  return T.statistics.summary(sum("uplinks"), sum("downlinks"), sum("failed"));
}

/** Messages over time. A table has the same values for users who read or hear them. */
export function chart() {
  const svg = s("svg.chart", { role: "img", height: HEIGHT, "aria-label": T.statistics.chart });
  const readout = h("p.readout.muted", {});
  const table = pointsTable();
  const key = h("ul.key", {}, SERIES.map((name) => h("li", {}, swatch(name), T.statistics.series[name])));
  const head = h("div.card-head", {}, h("h3", {}, T.statistics.chart), key);
  const element = h("section.card.chart-card", {}, head, svg, readout, table.element);
  const cursor = s("line.cursor", { y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, visibility: "hidden" });
  /** @type {Point[]} */
  let points = [];
  let width = 0;

  function draw() {
    if (!width) return;
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    svg.setAttribute("aria-label", `${T.statistics.chart}: ${summaryOf(points)}`);
    cursor.setAttribute("visibility", "hidden");
    put(svg, plot(points, width), cursor);
  }

  /** @param {PointerEvent} event */
  function point(event) {
    if (points.length < 2 || !width) return;
    const { left } = svg.getBoundingClientRect();
    const share = (event.clientX - left - MARGIN.left) / (width - MARGIN.left - MARGIN.right);
    const index = Math.max(0, Math.min(points.length - 1, Math.round(share * (points.length - 1))));
    const x = String(horizontal(points, width)(index));
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    cursor.setAttribute("visibility", "visible");
    readout.textContent = `${moment(points[index].time)} – ${summaryOf([points[index]])}`;
  }

  function summarise() {
    const some = points.some((each) => SERIES.some((name) => each[name]));
    readout.textContent = some ? summaryOf(points) : T.statistics.empty;
  }

  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerleave", () => (cursor.setAttribute("visibility", "hidden"), summarise()));
  new ResizeObserver(([{ contentRect }]) => {
    if (Math.abs(contentRect.width - width) < 1) return;
    width = contentRect.width;
    draw();
  }).observe(svg);

  /** @param {Point[]} values */
  function update(values) {
    points = values;
    draw();
    summarise();
    table.update(points);
  }
  return { element, update };
}

/** The horizontal position of each point. @param {Point[]} points @param {number} width */
function horizontal(points, width) {
  const step = points.length < 2 ? 0 : (width - MARGIN.left - MARGIN.right) / (points.length - 1);
  return (/** @type {number} */ index) => MARGIN.left + index * step;
}

/** Lines, axes and area of the chart. @param {Point[]} points @param {number} width @returns {Child[]} */
function plot(points, width) {
  const x = horizontal(points, width);
  const top = ceiling(Math.max(0, ...points.flatMap((each) => SERIES.map((name) => each[name] || 0))));
  const height = HEIGHT - MARGIN.top - MARGIN.bottom;
  const y = (/** @type {number} */ value) => HEIGHT - MARGIN.bottom - (value / top) * height;
  const grid = [0, 1, 2, 3, 4].map((part) => {
    const value = (top / 4) * part;
    return [
      s("line.grid-line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }),
      s("text.axis", { x: MARGIN.left - 8, y: y(value) + 4, "text-anchor": "end" }, compact(value)),
    ];
  });
  const path = (/** @type {Series} */ name) =>
    points.map((each, n) => `${n ? "L" : "M"}${x(n).toFixed(1)} ${y(each[name] || 0).toFixed(1)}`).join("");
  const used = SERIES.filter((name) => points.some((each) => each[name]));
  const end = `L${x(points.length - 1)} ${y(0)}L${x(0)} ${y(0)}Z`;
  const area = points.length > 1 && used.includes("uplinks") && s("path.area", { d: path("uplinks") + end });
  const lines = used.map((name) => s(`path.line.${name}`, { d: path(name), fill: "none" }));
  return [grid, area, lines, times(points, width)];
}

/** The times below the chart. @param {Point[]} points @param {number} width */
function times(points, width) {
  if (points.length < 2) return [];
  const x = horizontal(points, width);
  const labels = Math.max(2, Math.min(7, Math.floor(width / 110)));
  return Array.from({ length: labels }, (_, n) => {
    const index = Math.round((n / (labels - 1)) * (points.length - 1));
    const anchor = n === 0 ? "start" : n === labels - 1 ? "end" : "middle";
    return s("text.axis", { x: x(index), y: HEIGHT - 6, "text-anchor": anchor }, clock(points[index].time));
  });
}

/** The points that are not zero, as a table that the user can open. */
function pointsTable() {
  const element = h("details.as-table", { ontoggle: draw }, h("summary", {}, T.statistics.asTable));
  /** @type {Point[]} */
  let points = [];

  function draw() {
    element.querySelector(".table-scroll")?.remove();
    if (!element.open) return;
    const heads = [T.statistics.time, ...SERIES.map((name) => T.statistics.series[name])];
    const rows = points.filter((each) => SERIES.some((name) => each[name]));
    const table = h(
      "table",
      {},
      h("thead", {}, h("tr", {}, heads.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, rows.map(row)),
    );
    element.append(h("div.table-scroll", { tabindex: "0", role: "group", "aria-label": T.statistics.chart }, table));
  }

  /** @param {Point} each */
  function row(each) {
    const numbers = SERIES.map((name) => h("td.number", {}, number(each[name] || 0)));
    return h("tr", {}, h("td", {}, moment(each.time)), numbers);
  }

  return { element, update: (/** @type {Point[]} */ values) => ((points = values), draw()) };
}
