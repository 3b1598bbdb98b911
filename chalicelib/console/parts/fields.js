/** The settings of a connection: their names, their place in its document, and the checks of their values. */

import { T } from "../texts.js";

const HOST = /^(\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+)(:\d{1,5})?$/;
const DURATION = /^\d+\s*(ms|s|m|h|d)$/i;

/**
 * Returns the error of a value, or an empty text.
 * @typedef {(value: string) => string} Check
 */

/** @param {number} max @returns {Check} */
const long = (max) => (value) => (value.length > max ? T.checks.long(max) : "");
/** @param {number} min @param {number} max @returns {Check} */
const whole = (min, max) => (value) =>
  /^\d+$/.test(value) && Number(value) >= min && Number(value) <= max ? "" : T.checks.number(min, max);
/** @type {Check} */
const pattern = (value) =>
  value.split("{").length === value.split("}").length ? long(1024)(value) : T.checks.braces;
/** @type {Check} */
const pem = (value) => (/--\s*BEGIN [A-Z0-9 ]+--/.test(value) ? "" : T.checks.pem);

/** @typedef {keyof typeof T.fields} Key */
/** @typedef {keyof typeof T.form.groups} Group */

/**
 * @typedef {object} Options
 * @property {boolean} [required]
 * @property {boolean} [secret] the API returns a mask instead of the value
 * @property {boolean} [ssl] the field exists with SSL only
 * @property {boolean} [mono] shown in a monospaced font
 * @property {string} [initial]
 * @property {string} [example]
 * @property {[string, string][]} [options] values and texts of a select
 * @property {number} [max] characters
 * @property {Check} [check]
 */

/**
 * @typedef {Options & {key: Key, kind: Kind, group: Group, label: string, help: string}} Field
 * @typedef {"text" | "password" | "pem" | "select" | "textarea" | "number" | "switch"} Kind
 */

/**
 * @param {Key} key its name in the document
 * @param {Kind} kind @param {Group} group @param {Options} more
 * @returns {Field}
 */
const define = (key, kind, group, more = {}) => {
  const [label, help] = T.fields[key];
  return { key, kind, group, label, help, ...more };
};

/** In the order of the form. */
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
  define("maxConnections", "number", "more", { example: "4", check: whole(1, 16) }),
  define("sendMetadata", "switch", "more", { initial: "false" }),
  define("sendRawDecodedFormat", "switch", "more", { initial: "false" }),
  define("downlinkEnabled", "switch", "more", { initial: "true" }),
  define("downlinkAsId", "text", "more", { check: long(255) }),
  define("downlinkAsKey", "password", "more", { secret: true, check: long(255) }),
  define("downlinkPort", "number", "more", { check: whole(1, 224) }),
];

/** @param {Key} key */
export const field = (key) => /** @type {Field} */ (FIELDS.find((each) => each.key === key));

/** The JSON pointer of a field in the API's documents. @param {Field} field */
const pointerOf = ({ key }) => (key === "name" ? "/name" : `/configuration/${key}`);

/** The field that an error of the API points to, or undefined. @param {string} pointer */
export const fieldAt = (pointer) => FIELDS.find((each) => pointerOf(each) === pointer);

/** The JSON value of a typed text; null for an empty one. @param {Field} field @param {string} text */
export function jsonValue({ kind }, text) {
  if (kind === "switch") return text === "true";
  if (text === "") return null;
  return kind === "number" ? Number(text) : text;
}

/** The value of a field as text. @param {Pick<Connection, "name" | "configuration">} connection @param {Field} field */
export function textOf(connection, { key }) {
  const value = key === "name" ? connection.name : connection.configuration[key];
  return value === null || value === undefined ? "" : String(value);
}

/**
 * The configuration of typed values. Empty values and those of the other protocol are left out.
 * @param {Record<string, string>} values
 */
export function configurationOf(values) {
  /** @type {Record<string, string | number | boolean>} */
  const configuration = {};
  for (const each of FIELDS) {
    const { key } = each;
    if (key === "name" || (each.ssl && values.protocol !== "SSL")) continue;
    const value = jsonValue(each, values[key] ?? "");
    if (value !== null) configuration[key] = value;
  }
  return configuration;
}
