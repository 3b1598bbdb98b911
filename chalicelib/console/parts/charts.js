/** Rings and the chart over time, as inline SVG. */

import { h, put, s } from "./dom.js";
import { clock, moment, number } from "./format.js";
import { T } from "../texts.js";

const RADIUS = 50;
const AROUND = 2 * Math.PI * RADIUS;
const PARTS = ["delivered", "failed", "lost", "waiting"];
const SERIES = ["uplinks", "downlinks", "failed"];
const HEIGHT = 220;
const MARGIN = { top: 12, right: 12, bottom: 26, left: 44 };

/** A ring of delivered, failed, lost and waiting, with the numbers beside it. */
export function ring(title) {
  const figure = s("svg.ring", { viewBox: "0 0 128 128", width: 128, height: 128, role: "img" });
  const legend = h("dl.legend", {});
  const element = h("section.card.ring-card", {}, h("h3", {}, title), h("div.ring-row", {}, figure, legend));

  function update(counts) {
    const total = PARTS.reduce((sum, part) => sum + (counts[part] || 0), 0);
    const words = PARTS.map((part) => `${T.statistics.parts[part]} ${number(counts[part] || 0)}`).join(", ");
    figure.setAttribute("aria-label", `${title}: ${words}`);
    let turned = 0;
    const arcs = PARTS.filter((part) => counts[part] > 0).map((part) => {
      const share = counts[part] / total;
      // A part that is there is seen, however small it is.
      const length = Math.max(share * AROUND - (share < 1 ? 2 : 0), 1.5);
      const arc = s(`circle.arc.${part}`, {
        cx: 64, cy: 64, r: RADIUS, fill: "none", "stroke-dasharray": `${length} ${AROUND - length}`,
        "stroke-dashoffset": -turned * AROUND, transform: "rotate(-90 64 64)",
      });
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

function legendRow(part, count) {
  return h("div", {}, h("dt", {}, h(`span.swatch.${part}`, { "aria-hidden": "true" }), T.statistics.parts[part]), h("dd", {}, number(count)));
}

const compact = (value) =>
  value < 100_000 ? number(value) : new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(value);

/** A whole number that is at least the highest value and divides into four. */
function ceiling(value) {
  const step = 10 ** Math.floor(Math.log10(Math.max(value, 4)));
  const nice = [1, 2, 4, 6, 8, 10, 12].map((factor) => factor * step).find((each) => each >= value && each % 4 === 0);
  return nice || Math.max(4, Math.ceil(value / 4) * 4);
}

/** Messages over time; the same values are in a table for who wants to read or hear them. */
export function chart() {
  const svg = s("svg.chart", { role: "img", height: HEIGHT });
  const readout = h("p.readout.muted", {});
  const table = h("details.as-table", {}, h("summary", {}, T.statistics.asTable));
  const key = h("ul.key", {}, SERIES.map((name) => h("li", {}, h(`span.swatch.${name}`, { "aria-hidden": "true" }), T.statistics.series[name])));
  const element = h("section.card.chart-card", {}, h("div.card-head", {}, h("h3", {}, T.statistics.chart), key), svg, readout, table);
  let series = [];
  let width = 0;
  let cursor = null;

  const sum = (name) => series.reduce((total, each) => total + (each[name] || 0), 0);
  const x = (index) => MARGIN.left + (series.length < 2 ? 0 : (index / (series.length - 1)) * (width - MARGIN.left - MARGIN.right));

  function draw() {
    if (!width) return;
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    svg.setAttribute("aria-label", `${T.statistics.chart}: ${T.statistics.summary(sum("uplinks"), sum("downlinks"), sum("failed"))}`);
    const top = ceiling(Math.max(0, ...series.flatMap((each) => SERIES.map((name) => each[name] || 0))));
    const y = (value) => HEIGHT - MARGIN.bottom - (value / top) * (HEIGHT - MARGIN.top - MARGIN.bottom);
    const lines = [0, 1, 2, 3, 4].map((part) => {
      const value = (top / 4) * part;
      return [
        s("line.grid-line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }),
        s("text.axis", { x: MARGIN.left - 8, y: y(value) + 4, "text-anchor": "end" }, compact(value)),
      ];
    });
    const labels = Math.max(2, Math.min(7, Math.floor(width / 110)));
    const times = series.length < 2 ? [] : Array.from({ length: labels }, (_, n) => Math.round((n / (labels - 1)) * (series.length - 1)));
    const axis = times.map((index, n) =>
      s("text.axis", { x: x(index), y: HEIGHT - 6, "text-anchor": n === 0 ? "start" : n === labels - 1 ? "end" : "middle" }, clock(series[index].time)),
    );
    const path = (name) => series.map((each, index) => `${index ? "L" : "M"}${x(index).toFixed(1)} ${y(each[name] || 0).toFixed(1)}`).join("");
    const area = series.length > 1 && sum("uplinks") > 0 && s("path.area", { d: `${path("uplinks")}L${x(series.length - 1)} ${y(0)}L${x(0)} ${y(0)}Z` });
    cursor = s("line.cursor", { y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, visibility: "hidden" });
    put(svg, lines, area, SERIES.filter(sum).map((name) => s(`path.line.${name}`, { d: path(name), fill: "none" })), axis, cursor);
  }

  function point(event) {
    if (series.length < 2 || !cursor) return;
    const { left } = svg.getBoundingClientRect();
    const share = (event.clientX - left - MARGIN.left) / (width - MARGIN.left - MARGIN.right);
    const index = Math.max(0, Math.min(series.length - 1, Math.round(share * (series.length - 1))));
    cursor.setAttribute("x1", x(index));
    cursor.setAttribute("x2", x(index));
    cursor.setAttribute("visibility", "visible");
    const { time, uplinks, downlinks, failed } = series[index];
    readout.textContent = `${moment(time)} – ${T.statistics.summary(uplinks, downlinks, failed)}`;
  }

  function summarise() {
    readout.textContent = SERIES.some(sum) ? T.statistics.summary(sum("uplinks"), sum("downlinks"), sum("failed")) : T.statistics.empty;
  }

  function tabulate() {
    table.querySelector(".table-scroll")?.remove();
    if (!table.open) return;
    const heads = [T.statistics.time, ...SERIES.map((name) => T.statistics.series[name])];
    const rows = series.filter((each) => SERIES.some((name) => each[name]));
    table.append(
      h(
        "div.table-scroll",
        { tabindex: "0", role: "group", "aria-label": T.statistics.chart },
        h(
          "table",
          {},
          h("thead", {}, h("tr", {}, heads.map((name) => h("th", { scope: "col" }, name)))),
          h("tbody", {}, rows.map((each) => h("tr", {}, h("td", {}, moment(each.time)), SERIES.map((name) => h("td.number", {}, number(each[name] || 0)))))),
        ),
      ),
    );
  }

  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerleave", () => (cursor?.setAttribute("visibility", "hidden"), summarise()));
  table.addEventListener("toggle", tabulate);
  new ResizeObserver(([{ contentRect }]) => {
    if (Math.abs(contentRect.width - width) < 1) return;
    width = contentRect.width;
    draw();
  }).observe(svg);

  function update(values) {
    series = values;
    draw();
    summarise();
    tabulate();
  }
  return { element, update };
}
