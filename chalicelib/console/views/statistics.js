/** What a connection carried: active devices, rings, and the chart over an hour or a day. */

import { get } from "../parts/api.js";
import { chart, ring } from "../parts/charts.js";
import { every, h, put } from "../parts/dom.js";
import { number } from "../parts/format.js";
import { T } from "../texts.js";

const PERIODS = ["1h", "1d"];

/** @param {string} id @param {(statistics: any) => void} heard is told each answer */
export function statisticsSection(id, heard) {
  let period = "1h";
  const uplinks = ring(T.statistics.uplinks);
  const downlinks = ring(T.statistics.downlinks);
  const overTime = chart();
  const devices = h("p.big", {}, T.none);
  const note = h("p.muted", { hidden: true });
  const choice = h(
    "div.segments",
    { role: "group", "aria-label": T.statistics.period },
    PERIODS.map((name) => h("button", { type: "button", "aria-pressed": String(name === period), onclick: (event) => choose(name, event.currentTarget) }, T.statistics.periods[name])),
  );
  const cards = h("div.cards", {}, h("section.card", {}, h("h3", {}, T.statistics.devices), devices), uplinks.element, downlinks.element);
  const whole = h("div.whole", {}, cards, overTime.element);
  const element = h("section.traffic", {}, h("div.title-row", {}, h("h2", {}, T.statistics.title), choice), note, whole);

  function choose(name, pressed) {
    period = name;
    for (const each of choice.children) each.setAttribute("aria-pressed", String(each === pressed));
    load();
  }

  async function load() {
    const asked = period;
    try {
      const { json } = await get(`connections/${encodeURIComponent(id)}/statistics?period=${asked}`);
      if (asked !== period) return;
      devices.textContent = number(json.activeDevices);
      uplinks.update(json.uplinks);
      downlinks.update(json.downlinks);
      overTime.update(json.series || []);
      note.hidden = true;
      heard(json);
    } catch (problem) {
      put(note, problem.missing ? T.statistics.missing : problem.message);
      note.hidden = false;
      if (!problem.missing) return;
      whole.hidden = choice.hidden = true;
      stop();
    }
  }
  const stop = every(() => 10, element, load);
  load();
  return { element, load, stop };
}
