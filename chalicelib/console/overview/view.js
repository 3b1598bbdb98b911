/** The first view: faults by cause, connections by state, the traffic of a day, and the list. */

import { errorLine } from "../parts/dialog.js";
import { every, h, put } from "../parts/dom.js";
import { FIRST, SUMMARY, first } from "../parts/first_page.js";
import { moment } from "../parts/format.js";
import { listSection } from "../views/list.js";
import { faultsSection } from "./faults.js";
import { statesRow } from "./states.js";
import { trafficSection } from "./traffic.js";
import { T } from "../texts.js";

const SECONDS = 10;

/** @param {HTMLElement} place */
export function overviewView(place) {
  const updated = h("p.muted.small.updated", {});
  const trouble = errorLine();
  const states = statesRow();
  const faults = faultsSection(() => Promise.all([load(), list.load()]));
  const traffic = trafficSection();
  const list = listSection("h2", FIRST);
  const parts = h("div.overview", { hidden: true }, states.element, faults.element, traffic.element);
  const waiting = h("p.muted", {}, h("span.spinner", { "aria-hidden": "true" }), T.loading);

  async function load() {
    try {
      const { json } = await first(SUMMARY);
      if (!parts.isConnected) return;
      parts.hidden = json.total === 0;
      states.update(json);
      faults.update(json);
      traffic.update(json);
      updated.textContent = T.overview.updated(moment(json.time), SECONDS);
      updated.title = json.time;
      trouble.show("");
    } catch (problem) {
      if (!parts.isConnected) return;
      trouble.show(problem.message);
    }
    waiting.remove();
  }

  put(
    place,
    h("div.title-row", {}, h("h1", { tabindex: "-1" }, T.overview.title), updated),
    trouble.element,
    waiting,
    parts,
    list.element,
  );
  load();
  const stops = [list.start(), every(() => SECONDS, parts, load)];
  return () => stops.forEach((stop) => stop());
}

