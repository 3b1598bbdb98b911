/** Configuration as code: connections, flows and drivers as one JSON document without secrets. */

import { get, getAll } from "../parts/api.js";
import { notify } from "../parts/dialog.js";
import { T } from "../texts.js";

export const FORMAT = "iot-flow-configuration";
export const RELEASE = 1;
const MASK = "*****";

/** @param {Connection} connection */
function exported({ id, name, connectorId, active, alarms, configuration }) {
  const fields = Object.entries(configuration);
  const secrets = fields.filter(([, value]) => value === MASK).map(([field]) => field);
  const open = Object.fromEntries(fields.filter(([, value]) => value !== MASK));
  return { id, name, connectorId, active, alarms, configuration: open, secrets };
}

/** @param {Flow} flow */
function exportedFlow({ id, name, description, active, matchers, connectors, driver }) {
  return { id, name, description, active, matchers, connectors, driver };
}

/** @param {Driver} driver */
function exportedDriver({ id, name, description, signature, models, code }) {
  return { id, name, description, signature, models, code };
}

/**
 * The document of some connections, with the flows that name them and the drivers of these flows; or of everything.
 * @param {string[] | null} ids null for all connections, flows and drivers
 */
export async function configurationOf(ids) {
  const [all, flows, drivers] = await Promise.all([
    ids ? Promise.all(ids.map((id) => get(`connections/${encodeURIComponent(id)}`).then(({ json }) => json)))
      : getAll("connections?limit=100"),
    getAll("flows?limit=100"),
    getAll("drivers?limit=100"),
  ]);
  const wanted = new Set(all.map(({ id }) => id));
  const named = /** @type {Flow[]} */ (flows).filter(
    ({ connectors }) => !ids || connectors.some(({ connectionId }) => wanted.has(connectionId)),
  );
  const used = new Set(named.map(({ driver }) => driver?.id));
  const kept = /** @type {Driver[]} */ (drivers).filter(({ id }) => !ids || used.has(id));
  const whole = await Promise.all(kept.map(({ id }) => get(`drivers/${encodeURIComponent(id)}`)));
  return {
    format: FORMAT,
    release: RELEASE,
    connections: all.map(exported),
    flows: named.map((flow) => exportedFlow({
      ...flow,
      connectors: flow.connectors.filter(({ connectionId }) => wanted.has(connectionId)),
    })),
    drivers: whole.map(({ json }) => exportedDriver(json)),
  };
}

/** Saves the document as a file. @param {string[] | null} ids null for everything */
export async function exportConnections(ids) {
  try {
    const document_ = await configurationOf(ids);
    save(T.transfer.fileName, `${JSON.stringify(document_, null, 2)}\n`);
    notify(T.transfer.exported(document_.connections.length, document_.flows.length, document_.drivers.length));
  } catch (problem) {
    notify(problem.message, "bad");
  }
}

/** @param {string} name @param {string} text */
function save(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(address), 1000);
}
