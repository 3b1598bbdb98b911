/** The drivers of the tenant. */

import { documentsView, stackedTable } from "../parts/document.js";
import { h, icon } from "../parts/dom.js";
import { day } from "../parts/format.js";
import { address, modelName, readDrivers } from "./model.js";
import { T } from "../texts.js";

const SHOWN = 5;

/** @param {HTMLElement} place */
export function driversView(place) {
  documentsView(place, T.drivers.title, "#/drivers/create", async () => {
    const drivers = await readDrivers();
    const intro = h("p.muted", {}, T.drivers.intro);
    if (!drivers.length) return h("section.empty.panel", {}, icon("code", 40), h("h2", {}, T.drivers.empty), intro);
    return [intro, stackedTable(T.drivers.table, T.drivers.columns, drivers.map(row))];
  });
}

/** @param {Driver} driver */
function row({ id, name, signature, models, updatedAt }) {
  const more = models.length - SHOWN;
  const names = models.slice(0, SHOWN).map((each) => h("span.tag.mono", {}, modelName(each)));
  return {
    name: [h("a", { href: address(id) }, name), h("span.id", {}, id)],
    signature: T.drivers.signatures[signature].split(":")[0],
    models: models.length ? h("div.condition", {}, names, more > 0 && T.flows.more(more)) : T.none,
    changed: day(updatedAt),
  };
}
