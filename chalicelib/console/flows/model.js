/** Flows, connections and seen tags of the tenant, and the words for conditions. */

import { get, getAll } from "../parts/api.js";
import { h } from "../parts/dom.js";
import { T } from "../texts.js";

const SHOWN = 3;
const KEY = /^([0-9A-F]{16}|[0-9A-F]{6,16}\*)$/;
/** Tags of the reports that the user previewed. @type {Set<string>} */
const seen = new Set();

/** The flows in the order of their creation, in which the first one that matches decides. @returns {Promise<Flow[]>} */
export const readFlows = async () => (await getAll("flows?limit=100")).reverse();

/** @returns {Promise<Connection[]>} */
export const readConnections = () => getAll("connections?limit=100");

export const address = (/** @type {string} */ id) => `#/flows/${encodeURIComponent(id)}`;

/** The newest failed uplink, or null. @param {Connection[]} connections */
export async function lastFailed(connections) {
  const path = (/** @type {Connection} */ { id }) =>
    `connections/${encodeURIComponent(id)}/messages?status=failed&direction=uplink&limit=1`;
  const answers = await Promise.all(connections.slice(0, 20).map((each) => get(path(each))));
  /** @type {FailedMessage[]} */
  const found = answers.flatMap(({ json }) => json);
  return found.sort((a, b) => (a.time < b.time ? 1 : -1))[0] || null;
}

/** @param {string[]} tags */
export function remember(tags) {
  for (const each of tags) seen.add(each);
}

export const forgetTags = () => seen.clear();

/** Tags to suggest, without repeats in another case. @param {Flow[]} flows */
export function knownTags(flows) {
  const all = [...seen, ...flows.flatMap(({ matchers }) => matchers.flatMap(({ tags = [] }) => tags))];
  return [...new Map(all.map((each) => [each.toLowerCase(), each])).values()].sort((a, b) => a.localeCompare(b));
}

/** The keys of a matcher, as DevEUIs and prefixes in upper case. @param {Matcher} matcher */
export const devicesOf = ({ key, keys = [] }) =>
  (key ? [key, ...keys] : keys).map((each) => each.replace(/^lora:/i, "").toUpperCase());

/** A typed DevEUI or prefix without separators. @param {string} typed */
export const device = (typed) => typed.replace(/^lora:/i, "").replace(/[-:.]/g, "").toUpperCase();

/** @param {string} value */
export const deviceFault = (value) => (KEY.test(value) ? "" : T.flows.keyWrong);

/** @param {string} value @param {string} [kind] */
const tag = (value, kind = "") => h(`span.tag${kind}`, {}, value);

/** A condition in words. @param {Matcher} matcher @returns {Child[]} */
export function condition(matcher) {
  const devices = matcher.type === "key" ? devicesOf(matcher) : [];
  const values = [...(matcher.tags || []), ...devices];
  const shown = values.slice(0, SHOWN).map((each) => tag(each, devices.length ? ".mono" : ""));
  const more = values.length - shown.length;
  const count = devices.length > 1 ? `${T.flows.devices(devices.length)}:` : "";
  return [count, shown, more > 0 && T.flows.more(more)].filter(Boolean);
}
