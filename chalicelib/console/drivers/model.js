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

/** Runs code that is not saved. @param {Record<string, unknown>} body @returns {Promise<Trial>} */
export const runCode = async (body) => (await post("drivers/test", body)).json;
