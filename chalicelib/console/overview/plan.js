/** Compares a configuration document with the tenant: what an import would create and change. */

import { getAll, get } from "../parts/api.js";
import { FORMAT, RELEASE } from "./export.js";
import { T } from "../texts.js";

/**
 * @typedef {"created" | "changed" | "same"} Fate
 * @typedef {{kind: "connection" | "flow" | "driver", name: string, wanted: any, stored: any, fate: Fate,
 *   fields: string[], secrets: string[]}} Step `secrets`: the fields that the user must enter
 */

const SAME_PLACE = ["hostName", "protocol"];

/** JSON with sorted members, so that equal documents have equal texts. @param {any} value @returns {string} */
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (value && typeof value === "object") {
    const entries = Object.entries(value).filter(([, each]) => each !== undefined);
    return `{${entries.sort().map(([name, each]) => `${JSON.stringify(name)}:${canonical(each)}`).join()}}`;
  }
  return JSON.stringify(value ?? null);
}

/** The members that differ. @param {any} wanted @param {any} stored @param {string[]} names */
const differing = (wanted, stored, names) =>
  names.filter((name) => canonical(wanted[name]) !== canonical(stored[name]));

/** Reads a document; throws an Error with what is wrong. @param {string} text */
export function parseConfiguration(text) {
  let document_;
  try {
    document_ = JSON.parse(text);
  } catch (error) {
    throw new Error(T.transfer.notJson(error.message), { cause: error });
  }
  if (document_?.format !== FORMAT) throw new Error(T.transfer.otherFormat(FORMAT));
  if (document_.release !== RELEASE) throw new Error(T.transfer.otherRelease(String(document_.release), RELEASE));
  const parts = ["connections", "flows", "drivers"];
  const missing = parts.find((name) => !Array.isArray(document_[name]));
  if (missing) throw new Error(T.transfer.noList(missing));
  const nameless = document_.connections.find((/** @type {any} */ each) => !each?.name || !each.configuration);
  if (nameless) throw new Error(T.transfer.incomplete);
  return document_;
}

/**
 * The steps of an import, in their order.
 * @param {{connections: any[], flows: any[], drivers: any[]}} wanted @returns {Promise<Step[]>}
 */
export async function planOf({ connections, flows, drivers }) {
  const [hasConnections, hasFlows, listed] = await Promise.all([
    getAll("connections?limit=100"), getAll("flows?limit=100"), getAll("drivers?limit=100"),
  ]);
  const known = new Set(listed.map(({ id }) => id));
  const hasDrivers = await Promise.all(
    drivers.filter(({ id }) => known.has(id)).map(({ id }) => get(`drivers/${encodeURIComponent(id)}`)),
  );
  const driverOf = new Map(hasDrivers.map(({ json }) => [json.id, json]));
  const steps = drivers.map((each) => step("driver", each, driverOf.get(each.id), [
    "name", "description", "signature", "models", "code",
  ]));
  const ids = new Map();
  for (const each of connections) {
    const stored = matching(each, hasConnections);
    if (stored) ids.set(each.id, stored.id);
    steps.push(connectionStep(each, stored));
  }
  const flowNames = ["name", "description", "active", "matchers", "connectors", "driver"];
  for (const each of flows) {
    const connectors = each.connectors.map((/** @type {any} */ one) => ({
      ...one, connectionId: ids.get(one.connectionId) ?? one.connectionId,
    }));
    const stored = matching(each, hasFlows);
    const comparable = stored && { ...stored, connectors: stored.connectors.map(withoutUndefined) };
    steps.push(step("flow", { ...each, connectors: connectors.map(withoutUndefined) }, comparable, flowNames));
  }
  return steps;
}

/** @param {any} one */
const withoutUndefined = (one) => Object.fromEntries(Object.entries(one).filter(([, value]) => value !== undefined));

/** The stored document with the id, or else the only one with the name. @param {any} wanted @param {any[]} all */
function matching(wanted, all) {
  const named = all.filter(({ name }) => name === wanted.name);
  return all.find(({ id }) => id === wanted.id) ?? (named.length === 1 ? named[0] : undefined);
}

/** @param {Step["kind"]} kind @param {any} wanted @param {any} stored @param {string[]} names @returns {Step} */
function step(kind, wanted, stored, names) {
  const fields = stored ? differing(wanted, stored, names) : [];
  const fate = stored ? (fields.length ? "changed" : "same") : "created";
  return { kind, name: wanted.name, wanted, stored, fate, fields, secrets: [] };
}

/** @param {any} wanted @param {any} stored @returns {Step} */
function connectionStep(wanted, stored) {
  const found = step("connection", wanted, stored, ["name", "active", "alarms"]);
  /** @type {string[]} */
  const needed = wanted.secrets ?? [];
  if (!stored) return { ...found, secrets: needed };
  const own = Object.fromEntries(Object.entries(stored.configuration).filter(([, value]) => value !== "*****"));
  const had = Object.keys(stored.configuration).filter((field) => stored.configuration[field] === "*****");
  const names = [...new Set([...Object.keys(own), ...Object.keys(wanted.configuration)])];
  const fields = [
    ...found.fields,
    ...differing(wanted.configuration, own, names),
    ...[...needed, ...had].filter((field) => needed.includes(field) !== had.includes(field)),
  ];
  // Stored secrets are not sent to another host.
  const moved = fields.some((field) => SAME_PLACE.includes(field));
  const secrets = moved ? needed : needed.filter((field) => !had.includes(field));
  return { ...found, fields, fate: fields.length ? "changed" : "same", secrets };
}

/**
 * The body that creates or replaces the document of a step.
 * @param {Step} step_ @param {Record<string, string>} entered secrets @param {Map<string, string>} ids of created ones
 */
export function bodyOf({ kind, wanted, stored, secrets }, entered, ids) {
  if (kind === "driver") return stored ? { ...wanted } : wanted;
  if (kind === "flow") {
    const connectors = wanted.connectors.map((/** @type {any} */ each) => ({
      ...each, connectionId: ids.get(each.connectionId) ?? each.connectionId,
    }));
    return { ...wanted, id: stored?.id, connectors };
  }
  const { name, connectorId, active, alarms } = wanted;
  const configuration = { ...wanted.configuration };
  for (const field of wanted.secrets ?? []) configuration[field] = secrets.includes(field) ? entered[field] : "*****";
  return { name, connectorId, active, alarms, configuration };
}
