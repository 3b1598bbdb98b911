/** Drivers of the tenant, and calls that try code. */

import { getAll, post } from "../parts/api.js";
import { T } from "../texts.js";

/** The driver of a flow that stands for the one that fits the device. */
export const AUTOMATIC = "actility:auto:1";

/**
 * @typedef {() => {code: string, signature: string}} Current the code and signature as they are in the form
 * @typedef {(fault: Fault) => boolean} Refuse shows an error of the code; returns whether it is one
 */

/** @returns {Promise<Driver[]>} */
export const readDrivers = () => getAll("drivers?limit=100");

export const address = (/** @type {string} */ id) => `#/drivers/${encodeURIComponent(id)}`;

/** @param {Model} model */
export const modelName = ({ producerId, moduleId, version }) => [producerId, moduleId, version].join(":");

/** @param {string} name @returns {Model} */
export function modelOf(name) {
  const [producerId, moduleId, version] = name.split(":");
  return { producerId, moduleId, version };
}

/** @param {string} value */
export const idFault = (value) => (/^[\w.-]{1,64}(:[\w.-]{1,64}){2}$/.test(value) ? "" : T.drivers.idWrong);

/**
 * The driver that decodes a report. The server chooses it likewise for an automatic id, by the names in the report.
 * @param {Driver[]} drivers @param {string} id of the flow's driver @param {Record<string, any>} fields of the report
 */
function fitting(drivers, id, { DriverCfg: names = {} }) {
  if (!/:auto:/.test(id)) return drivers.find((each) => each.id === id);
  const models = [names.app, names.mod].map((each) => each && [each.pId, each.mId, each.ver].join(":"));
  const wanted = [names.id, ...models].filter(Boolean);
  const byId = wanted.map((name) => drivers.find((each) => each.id === name));
  const byModel = wanted.map((name) => drivers.find((each) => each.models.map(modelName).includes(name)));
  return [...byId, ...byModel].find(Boolean);
}

/**
 * Decodes a report with the driver of a flow; null if the report has no payload or no driver fits it.
 * @param {string} id of the flow's driver @param {Record<string, Record<string, any>>} report
 * @returns {Promise<{driver: Driver, trial: Trial} | null>}
 */
export async function decodeReport(id, { DevEUI_uplink: fields }) {
  if (!fields?.payload_hex || !Number(fields.FPort)) return null;
  const driver = fitting(await readDrivers(), id, fields);
  if (!driver) return null;
  const body = { bytes: fields.payload_hex, fPort: Number(fields.FPort), recvTime: fields.Time };
  return { driver, trial: (await post(`drivers/${encodeURIComponent(driver.id)}/decode-uplink`, body)).json };
}

/** Runs code that is not saved. @param {Record<string, unknown>} body @returns {Promise<Trial>} */
export const runCode = async (body) => (await post("drivers/test", body)).json;
