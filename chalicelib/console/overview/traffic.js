/** The messages of all connections over the last day. */

import { chart } from "../parts/charts.js";
import { h, put } from "../parts/dom.js";
import { number } from "../parts/format.js";
import { T } from "../texts.js";

export function trafficSection() {
  const numbers = h("dl.totals", {});
  const graph = chart();
  const title = h("h2", {}, T.overview.day);
  const element = h("section.day", { "aria-label": T.overview.day }, title, numbers, graph.element);
  let face = "";

  /** @param {Summary} summary */
  function update({ uplinks, downlinks, faults, series }) {
    const waiting = faults.reduce((sum, each) => sum + each.waiting, 0);
    const fresh = JSON.stringify([uplinks, downlinks, waiting, series.at(-1)?.time]);
    if (fresh === face) return;
    face = fresh;
    const { numbers: names } = T.overview;
    put(
      numbers,
      total(names.uplinks, uplinks.delivered),
      total(names.downlinks, downlinks.delivered),
      total(names.waiting, waiting, "busy"),
      total(names.failed, uplinks.failed + downlinks.failed, "bad"),
      total(names.lost, uplinks.lost + downlinks.lost, "bad"),
    );
    graph.update(series);
  }
  return { element, update };
}

/** @param {string} name @param {number} value @param {string} kind */
const total = (name, value, kind = "") =>
  h("div", {}, h("dt.muted", {}, name), h("dd", { class: value && kind ? kind : "" }, number(value)));
