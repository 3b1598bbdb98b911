/** Texts of the list of connections, and of the form that creates one. */

import { count } from "./words.js";

/** @param {number} n */
const inWords = (n) => count(n, "connection", "connections");

export const connections = {
  list: {
    title: "Connections",
    search: "Search", searchHint: "Name, host or ID",
    state: "State", allStates: "All states",
    protocol: "Protocol", allProtocols: "All protocols",
    several: "Several …",
    clearCause: "Show connections with any fault, and those without",
    selectAll: "Select all connections of this page",
    select: (/** @type {string} */ name) => `Select ${name}`,
    never: "never",
    create: "Create", csv: "Download CSV", csvName: "connections.csv",
    columns: {
      "state-cell": "State", name: "Name", host: "Broker", devices: "Devices", uplinks: "Uplinks, 1 h",
      "waiting-number": "Waiting", "failed-number": "Failed, 1 h", last: "Last message", since: "Since",
    },
    table: "Connections to AMQP brokers",
    count: inWords,
    matching: (/** @type {number} */ n) => count(n, "connection matches", "connections match"),
    noMatch: "No connection matches.",
    clear: "Clear the filter",
    emptyTitle: "No connections yet",
    empty: "A connection sends the uplinks of your devices to your AMQP broker, "
      + "and your downlinks from the broker to your devices.",
    previous: "Previous page",
    next: "Next page",
    range: (/** @type {number} */ from, /** @type {number} */ to, /** @type {number} */ all) =>
      `${from.toLocaleString("en")}–${to.toLocaleString("en")} of ${all.toLocaleString("en")}`,
    sparkline: (/** @type {number} */ n) => `${count(n, "uplink", "uplinks")} in the last hour`,
  },

  choose: {
    title: "Create a connection",
    intro: "Select the connection type.",
    amqp: "AMQP",
    amqpHint: "RabbitMQ and other AMQP 0-9-1 brokers, over TCP or SSL",
  },

  form: {
    title: "New AMQP connection",
    mandatory: "Parameters marked with * are mandatory.",
    groups: {
      place: "Application", topics: "Topics", security: "Security", login: "Login", exchange: "Exchange",
      more: "More settings",
    },
    create: "Create",
    test: "Test connection",
    created: (/** @type {string} */ name) => `The application “${name}” has been created.`,
    summary: (/** @type {number} */ n) => `${count(n, "field needs", "fields need")} your attention.`,
    help: "Help", show: "Show", hide: "Hide",
    file: "Choose a file",
    drop: "Paste the PEM text, choose a file, or drop a file here.",
    tooLarge: "This file is too large for a PEM file: the limit is 256 KB.",
    stored: "A value is stored. Leave this field empty to keep it.",
    reenter: "Enter this value again: stored secrets are not sent to another host.",
    chars: (/** @type {number} */ n, /** @type {number} */ max) => `${n} of ${max}`,
  },

  checks: {
    mandatory: "This field is mandatory.",
    host: "Enter one host, or host:port, for example amqp.company.com:5672.",
    long: (/** @type {number} */ max) => `Enter at most ${max} characters.`,
    braces: "Each { needs a closing }.",
    pem: "This is not PEM text: -----BEGIN … is missing.",
    number: (/** @type {number} */ min, /** @type {number} */ max) => `Enter a whole number from ${min} to ${max}.`,
    duration: "Enter a duration, for example 30s, 5m, 72h or 7d.",
    together: "Enter username and password together.",
    pair: "Enter certificate and private key together.",
  },

  /** Label and help of each setting. */
  fields: {
    name: ["Application Name", "The name of the application that you register."],
    hostName: [
      "Hostname",
      "The hostname and port of your AMQP broker, for example amqp.company.com:5672. "
        + "The default port is 5672 for TCP and 5671 for SSL.",
    ],
    uplinkTopicPattern: [
      "Uplink Topic Pattern",
      "The routing key of each uplink. {DevEUI} is replaced with the device's DevEUI; "
        + "{CustomerData.name|DevEUI|'None'} is replaced with the first of these values that exists.",
    ],
    downlinkTopicPattern: [
      "Downlink Topic Pattern",
      "The routing key of your downlinks. A word that contains {…} matches any word.",
    ],
    protocol: ["Protocol", "TCP without encryption, or SSL (TLS)."],
    certificate: [
      "Certificate",
      "The client certificate, if your AMQP broker requires one. PEM, with intermediate certificates if there are any.",
    ],
    privateKey: [
      "Private Key",
      "The private key of the certificate. PEM, not encrypted. It is stored encrypted and never shown again.",
    ],
    trustedCaCertificate: [
      "Trusted CA",
      "The certificate authority that signed your broker's certificate, in PEM. "
        + "If this field is empty, public certificate authorities are trusted.",
    ],
    username: ["AMQP Username", "The username for your AMQP broker."],
    password: ["AMQP Password", "The password for your AMQP broker. It is stored encrypted and never shown again."],
    exchangeName: [
      "Exchange Name",
      "The exchange to which uplinks are published and from which downlinks are consumed. Default: amq.topic. "
        + "Use a topic exchange: on a direct one, a downlink pattern with {…} matches nothing.",
    ],
    description: ["Description", "Notes for you and your colleagues."],
    virtualHost: ["Virtual Host", "The virtual host on your AMQP broker. Default: /."],
    reconnectStrategy: [
      "Reconnection",
      "How often the connection to an unreachable broker is retried. "
        + "CALM: every 10 min for 12 h, every 1 h for 1 d, then it stops. "
        + "NORMAL: every 5 min for 1 h, every 1 h for 1 d, then every 1 d. "
        + "AGGRESSIVE: every 3 min for 3 h, every 30 min for 7 d, then every 1 h.",
    ],
    uplinkTimeValidity: [
      "Uplink Validity",
      "The longest time that an uplink waits for your broker. An uplink that waits longer is discarded. "
        + "Enter a duration, for example 30s, 5m, 72h or 7d.",
    ],
    connectionTimeout: ["Connection Timeout (ms)", "Time limit for connecting: 100 to 10000 ms, default 5000."],
    actionTimeout: ["Action Timeout (ms)", "Time limit for a publisher confirm: 100 to 10000 ms, default 1000."],
    maxConnections: [
      "Max Connections",
      "The most connections open at your broker at a time, the one for downlinks included: 1 to 16, default 4.",
    ],
    sendMetadata: ["Send without root", "Sends uplinks only, without the enclosing DevEUI_uplink object."],
    sendRawDecodedFormat: ["Send the decoded payload only", "Sends the decoded payload of an uplink, if it has one."],
    downlinkEnabled: ["Take downlinks", "Sends the downlinks that you publish on your broker to your devices."],
    downlinkAsId: ["Application Server ID", "The AS ID of downlinks that contain none."],
    downlinkAsKey: [
      "Application Server Key",
      "The key of this application server. It is stored encrypted and never shown again.",
    ],
    downlinkPort: ["Downlink Port", "The FPort of downlinks that contain none: 1 to 224."],
  },

  preview: {
    label: "Routing key",
    none: "Enter a pattern to see the routing key of an example uplink.",
    missing: "The preview is not available on this server.",
    example: "for device 0018B20000000B20",
  },

  test: {
    title: "Connection test",
    intro: "Tests these settings step by step: finds the host, connects, logs in, and checks the exchange. "
      + "The test saves no settings and publishes no messages.",
    running: "Testing. This takes up to 25 seconds …",
    ok: "All checks passed.",
    failed: "The test stopped because a check failed.",
    missing: "The connection test is not available on this server.",
    passedStep: "passed",
    failedStep: "failed",
    milliseconds: (/** @type {number} */ n) => `${n.toLocaleString("en")} ms`,
    steps: {
      resolve: "Find the host", connect: "Connect", tls: "Start TLS", authenticate: "Log in",
      vhost: "Open the virtual host", exchange: "Check the exchange", downlink: "Prepare downlinks",
    },
  },
};
