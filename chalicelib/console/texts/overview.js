/** Texts of the overview, of actions on several connections, and of keyboard shortcuts. */

import { count } from "./words.js";

/** @param {number} n */
const inWords = (n) => count(n, "connection", "connections");

export const overview = {
  overview: {
    title: "Overview",
    updated: (/** @type {string} */ time, /** @type {number} */ seconds) => `Updated at ${time}, every ${seconds} s`,
    states: "Connections by state",
    all: "All",
    attention: "Needs attention",
    healthy: (/** @type {number} */ n) =>
      n === 1 ? "The connection is healthy. Nothing to do." : `All ${inWords(n)} are healthy. Nothing to do.`,
    inactive: "No connection is active.",
    group: (/** @type {number} */ n, /** @type {string} */ cause) => `${n.toLocaleString("en")} × ${cause}`,
    directions: { both: "", uplink: "uplinks only", downlink: "downlinks only" },
    since: "since",
    ends: "first one",
    next: "next attempt",
    due: "next attempt due now",
    noNext: "no attempt scheduled",
    waiting: (/** @type {number} */ n, /** @type {boolean} */ exact) =>
      `${exact ? "" : "at least "}${count(n, "message", "messages")} waiting`,
    example: "For example: ",
    certificate: "Replace the certificate and its private key in the connection's settings before it ends.",
    unknown: "Open the connection to see the fault.",
    restart: "Restart",
    restartSome: (/** @type {number} */ n) => `Restart ${n.toLocaleString("en")}`,
    restartAll: (/** @type {number} */ n) => `Restart all ${n.toLocaleString("en")}`,
    open: "Open",
    day: "All connections, last 24 hours",
    numbers: {
      uplinks: "Uplinks delivered", downlinks: "Downlinks delivered", waiting: "Waiting at faulty brokers",
      failed: "Failed", lost: "Lost",
    },
  },

  bulk: {
    title: "Selected connections",
    selected: (/** @type {number} */ n) => `${n.toLocaleString("en")} selected`,
    clear: "Clear the selection",
    actions: {
      restart: "Restart", activate: "Activate", deactivate: "Deactivate", test: "Test", export: "Export",
      delete: "Delete",
    },
    titles: {
      restart: (/** @type {number} */ n) => `Restarting ${inWords(n)}`,
      activate: (/** @type {number} */ n) => `Activating ${inWords(n)}`,
      deactivate: (/** @type {number} */ n) => `Deactivating ${inWords(n)}`,
      test: (/** @type {number} */ n) => `Testing ${inWords(n)}`,
      delete: (/** @type {number} */ n) => `Deleting ${inWords(n)}`,
    },
    done: {
      restart: (/** @type {number} */ n) => `${count(n, "connection is", "connections are")} being restarted.`,
      activate: (/** @type {number} */ n) => `${count(n, "connection has", "connections have")} been activated.`,
      deactivate: (/** @type {number} */ n) => `${count(n, "connection has", "connections have")} been deactivated.`,
      test: (/** @type {number} */ n) => `${count(n, "connection has", "connections have")} passed all checks.`,
      delete: (/** @type {number} */ n) => `${count(n, "connection has", "connections have")} been deleted.`,
    },
    deactivateTitle: (/** @type {number} */ n) => `Deactivate ${inWords(n)}?`,
    deleteTitle: (/** @type {number} */ n) => `Delete ${inWords(n)}?`,
    deleteText:
      "Deletes the connections, their settings and secrets, and all queued messages. This cannot be undone. "
      + "A connection that a flow names is not deleted.",
    deleteField: "Number of connections",
    deleteHint: (/** @type {number} */ n) => `Type ${n} to delete them.`,
    deleteMismatch: "This is not the number of connections.",
    progress: (/** @type {number} */ done, /** @type {number} */ all, /** @type {number} */ failed) =>
      `${done.toLocaleString("en")} of ${all.toLocaleString("en")} done`
      + (failed ? `, ${failed.toLocaleString("en")} failed` : ""),
    stop: "Stop",
    failures: "Failed",
    testFailed: "The test stopped because a check failed.",
  },

  transfer: {
    fileName: "iot-flow-configuration.json",
    exported: (/** @type {number} */ connections, /** @type {number} */ flows, /** @type {number} */ drivers) =>
      `Exported ${inWords(connections)}, ${count(flows, "flow", "flows")} and ${count(drivers, "driver", "drivers")}. `
      + "The file contains no secrets.",
    title: "Configuration as code",
    link: "Export or import",
    exportTitle: "Export",
    exportText: "Saves all connections, flows and drivers as one JSON file without secrets. "
      + "To export some connections, select them in the list.",
    exportAll: "Export everything",
    importTitle: "Import",
    importText: "Compares a file with the current configuration and shows what would change. "
      + "Nothing changes before you confirm. What is not in the file stays as it is.",
    document: "Configuration (JSON)",
    compare: "Compare",
    plan: "Changes",
    counts: (/** @type {number} */ created, /** @type {number} */ changed, /** @type {number} */ same) =>
      `${created.toLocaleString("en")} to create, ${changed.toLocaleString("en")} to change, `
      + `${same.toLocaleString("en")} without a change.`,
    fates: { created: "create", changed: "change", same: "same" },
    kinds: { connection: "Connection", flow: "Flow", driver: "Driver" },
    secrets: "Missing secrets",
    secretsText: "The file contains no secrets. Enter those of new connections, "
      + "and of connections that get another host.",
    secretsMissing: "Enter all missing secrets.",
    run: "Import",
    done: (/** @type {number} */ n) => `${count(n, "change has", "changes have")} been imported.`,
    notJson: (/** @type {string} */ reason) => `This is not JSON: ${reason}. Choose a file that this page exported.`,
    otherFormat: (/** @type {string} */ format) =>
      `The member format must be "${format}". Choose a file that this page exported.`,
    otherRelease: (/** @type {string} */ found, /** @type {number} */ release) =>
      `The member release is ${found}; this page reads ${release}. Export the file again.`,
    noList: (/** @type {string} */ name) => `The member ${name} must be a list.`,
    incomplete: "Each connection must have a name and a configuration.",
  },

  keys: {
    title: "Keyboard shortcuts",
    open: "Keyboard shortcuts",
    list: {
      "?": "Show this window",
      "/": "Search the list of connections",
      c: "Create a connection",
      "g o": "Go to the overview",
      "g c": "Go to the connections",
      "g m": "Go to the messages",
      "g f": "Go to the flows",
      "g d": "Go to the drivers",
      "g n": "Go to the notifications",
      "g i": "Export or import the configuration",
    },
  },

  causes: {
    ADDRESS_FORBIDDEN: "Address not allowed",
    CERTIFICATE_ENDS: "Certificate ends within 14 days",
    CERTIFICATE_NAME: "Certificate for another name",
    CLIENT_CERTIFICATE_MISSING: "Client certificate missing",
    CLIENT_CERTIFICATE_REFUSED: "Client certificate refused",
    DNS_FAILURE: "Host not found",
    DNS_TIMEOUT: "Host not found in time",
    TLS_FAILURE: "TLS failed",
    TLS_NOT_SPOKEN: "Broker without TLS",
    UNKNOWN: "Other fault",
  },
};
