/** The traffic of a connection: active devices, rings, and the chart over an hour or a day. */

import { get } from "../parts/api.js";
import { chart, ring } from "../parts/charts.js";
import { every, h, put } from "../parts/dom.js";
import { number } from "../parts/format.js";
import { T } from "../texts.js";

/** @typedef {keyof typeof T.statistics.periods} Period */

/** @param {string} id @param {(statistics: Statistics) => void} received is called with each answer */
export function statisticsSection(id, received) {
  /** @type {Period} */
  let period = "1h";
  const uplinks = ring(T.statistics.uplinks);
  const downlinks = ring(T.statistics.downlinks);
  const overTime = chart();
  const devices = h("p.big", {}, T.none);
  const note = h("p.muted", { hidden: true });
  const choice = periodChoice(period, (chosen) => {
    period = chosen;
    load();
  });
  const activeDevices = h("section.card", {}, h("h3", {}, T.statistics.devices), devices);
  const cards = h("div.cards", {}, activeDevices, uplinks.element, downlinks.element);
  const whole = h("div.whole", {}, cards, overTime.element);
  const head = h("div.title-row", {}, h("h2", {}, T.statistics.title), choice);
  const element = h("section.traffic", {}, head, note, whole);

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
      received(json);
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

/** @param {Period} initial @param {(period: Period) => void} choose */
function periodChoice(initial, choose) {
  const periods = /** @type {[Period, string][]} */ (Object.entries(T.statistics.periods));
  const buttons = periods.map(([name, text]) => {
    const onclick = () => {
      for (const each of buttons) each.setAttribute("aria-pressed", String(each === pressed));
      choose(name);
    };
    const pressed = h("button", { type: "button", "aria-pressed": String(name === initial), onclick }, text);
    return pressed;
  });
  return h("div.segments", { role: "group", "aria-label": T.statistics.period }, buttons);
}
