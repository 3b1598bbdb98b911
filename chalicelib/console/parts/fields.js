/** The settings of a connection: what they are called, where they stand in its document, when a value is good. */

import { T } from "../texts.js";

const HOST = /^(\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+)(:\d{1,5})?$/;
const DURATION = /^\d+\s*(ms|s|m|h|d)$/i;

const long = (max) => (value) => (value.length > max ? T.checks.long(max) : "");
const whole = (min, max) => (value) =>
  /^\d+$/.test(value) && Number(value) >= min && Number(value) <= max ? "" : T.checks.number(min, max);
const pattern = (value) =>
  value.split("{").length === value.split("}").length ? long(1024)(value) : T.checks.braces;
const pem = (value) => (/--\s*BEGIN [A-Z0-9 ]+--/.test(value) ? "" : T.checks.pem);

/**
 * @typedef {object} Field
 * @property {string} key its name in the document
 * @property {string} label
 * @property {string} help
 * @property {"text"|"password"|"pem"|"select"|"textarea"|"number"|"switch"} kind
 * @property {string} group
 * @property {boolean} [required]
 * @property {boolean} [secret] it reads as a mask
 * @property {boolean} [ssl] it is there with SSL only
 * @property {string} [initial]
 * @property {string} [example]
 * @property {[string, string][]} [options]
 * @property {number} [max] characters
 * @property {(value: string) => string} [check] what is wrong with a value, or nothing
 */

const define = (key, kind, group, more = {}) => ({
  key, kind, group, label: T.fields[key][0], help: T.fields[key][1], ...more,
});

/** @type {Field[]} In the order of the form. */
export const FIELDS = [
  define("name", "text", "place", { required: true, check: long(128) }),
  define("hostName", "text", "place", {
    required: true, mono: true, example: "amqp.company.com:5672",
    check: (value) => (HOST.test(value) ? "" : T.checks.host),
  }),
  define("uplinkTopicPattern", "text", "topics", {
    required: true, mono: true, example: "amqp.things.{DevEUI}.uplink", check: pattern,
  }),
  define("downlinkTopicPattern", "text", "topics", {
    required: true, mono: true, example: "amqp.things.{DevEUI}.downlink", check: pattern,
  }),
  define("protocol", "select", "security", {
    required: true, initial: "TCP", options: [["TCP", "TCP"], ["SSL", "SSL"]],
  }),
  define("certificate", "pem", "security", { ssl: true, secret: true, check: pem }),
  define("privateKey", "pem", "security", { ssl: true, secret: true, check: pem }),
  define("trustedCaCertificate", "pem", "security", { ssl: true, secret: true, check: pem }),
  define("username", "text", "login", { check: long(255) }),
  define("password", "password", "login", { secret: true, check: long(4096) }),
  define("exchangeName", "text", "exchange", { initial: "amq.topic", mono: true, check: long(255) }),
  define("description", "textarea", "exchange", { max: 1024, check: long(1024) }),
  define("virtualHost", "text", "more", { example: "/", mono: true, check: long(255) }),
  define("reconnectStrategy", "select", "more", {
    initial: "NORMAL", options: [["CALM", "CALM"], ["NORMAL", "NORMAL"], ["AGGRESSIVE", "AGGRESSIVE"]],
  }),
  define("uplinkTimeValidity", "text", "more", {
    example: "72h", check: (value) => (DURATION.test(value) ? "" : T.checks.duration),
  }),
  define("connectionTimeout", "number", "more", { example: "5000", check: whole(100, 10000) }),
  define("actionTimeout", "number", "more", { example: "1000", check: whole(100, 10000) }),
  define("sendMetadata", "switch", "more", { initial: "false" }),
  define("sendRawDecodedFormat", "switch", "more", { initial: "false" }),
  define("downlinkEnabled", "switch", "more", { initial: "true" }),
  define("downlinkAsId", "text", "more", { check: long(255) }),
  define("downlinkAsKey", "password", "more", { secret: true, check: long(255) }),
  define("downlinkPort", "number", "more", { check: whole(1, 224) }),
];

export const field = (key) => FIELDS.find((each) => each.key === key);

/** Where the API's faults point to for a field. */
export const pointerOf = ({ key }) => (key === "name" ? "/name" : `/configuration/${key}`);

/** The field that a fault's pointer names, or undefined. */
export const fieldAt = (pointer) => FIELDS.find((each) => pointerOf(each) === pointer);

/** The JSON value of what was typed; null where nothing was. */
export function jsonValue({ kind }, text) {
  if (kind === "switch") return text === "true";
  if (text === "") return null;
  return kind === "number" ? Number(text) : text;
}

/** What a connection has in a field, as text. */
export function textOf(connection, { key }) {
  const value = key === "name" ? connection.name : connection.configuration[key];
  return value === null || value === undefined ? "" : String(value);
}

/** The configuration of typed values, without what is empty or does not belong to the protocol. */
export function configurationOf(values) {
  const configuration = {};
  for (const each of FIELDS) {
    if (each.key === "name" || (each.ssl && values.protocol !== "SSL")) continue;
    const value = jsonValue(each, values[each.key] ?? "");
    if (value !== null) configuration[each.key] = value;
  }
  return configuration;
}
