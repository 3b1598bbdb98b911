/** All texts of the page. */

/** @param {number} n @param {string} one @param {string} more */
const count = (n, one, more) => `${n.toLocaleString("en")} ${n === 1 ? one : more}`;

/** @param {number} n */
const connections = (n) => count(n, "connection", "connections");

export const T = {
  product: "IoT Flow",
  connections: "Connections",
  skip: "Skip to the content",
  tenant: (/** @type {string} */ name) => `Tenant ${name}`,
  signOut: "Sign out",
  loading: "Loading …",
  cancel: "Cancel",
  close: "Close",
  confirm: "Confirm",
  dismiss: "Dismiss",
  none: "—",
  retry: "Try again",
  offline: "The server cannot be reached. Your input is kept; the page retries automatically.",
  online: "The server can be reached again.",

  signIn: {
    title: "Sign in",
    intro: "Paste an access token of your identity provider. The page keeps it in memory only.",
    token: "Token",
    button: "Sign in",
    sso: "Continue with single sign-on",
    or: "or with a token",
    empty: "Paste a token.",
    again: "Your session has expired",
    againIntro: "Sign in again to continue. Your input is kept.",
    oidcFailed: (/** @type {string} */ reason) => `Single sign-on failed: ${reason}`,
    oidcState: "the response does not belong to this window. Try again.",
    oidcBlocked: "the browser blocked the sign-in window. Allow pop-up windows for this page, or paste a token.",
    oidcDown: "Single sign-on is not available at the moment.",
  },

  errors: {
    network: "The server cannot be reached. Check your network connection and try again.",
    server: (/** @type {string | undefined} */ id) =>
      `The server reported an internal error. Try again in a few seconds.${id ? ` Request ${id}.` : ""}`,
    unauthorized: "The token is not valid.",
    forbidden: "Your token does not permit this action.",
    notFound: "This connection does not exist or has been deleted.",
    changed: "This connection was changed in the meantime. Check the current values and confirm again.",
    signedOut: "You are signed out.",
    missing: "This feature is not available on this server.",
    other: (/** @type {number} */ status) => `The server refused the request (HTTP status ${status}).`,
    unexpected: "An unexpected error occurred in the page. Reload the page and try again.",
  },

  /** @type {Record<State, string>} */
  states: {
    OPENED: "Connected. Messages are flowing.",
    OPENING: "Connecting to the broker.",
    AUTHENTICATING: "Logging in to the broker.",
    AUTHENTICATION_FAILED: "The broker refused the login. Check username and password.",
    UNREACHABLE: "The broker does not respond.",
    CLOSING: "Closing the connection to the broker.",
    CLOSED: "Not connected to the broker.",
    DEACTIVATED: "Inactive. New uplinks are not accepted; queued messages are kept.",
  },

  list: {
    title: "Connections",
    search: "Search", searchHint: "Name or ID",
    state: "State", allStates: "All states",
    create: "Create", csv: "Download CSV", csvName: "connections.csv",
    columns: {
      state: "State", name: "Name", host: "Broker", devices: "Devices", uplinks: "Uplinks, 1 h", added: "Added",
    },
    table: "Connections to AMQP brokers",
    count: (/** @type {number} */ shown, /** @type {number} */ all) =>
      shown === all ? connections(all) : `${shown.toLocaleString("en")} of ${connections(all)}`,
    more: "Loading more …",
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

  details: {
    id: "ID",
    copy: "Copy the ID",
    copied: "The ID has been copied to the clipboard.",
    active: "Active",
    deactivateTitle: "Deactivate this connection?",
    deactivate: "New uplinks are not accepted. Queued messages are kept until you activate the connection again.",
    activated: "The connection has been activated.",
    deactivated: "The connection has been deactivated.",
    restart: "Restart",
    restarted: "The connection is being restarted.",
    test: "Test connection",
    delete: "Delete",
    deleteTitle: (/** @type {string} */ name) => `Delete “${name}”?`,
    deleteText: "Deletes the connection, its settings and secrets, and all queued messages. This cannot be undone.",
    deleteField: "Name of the connection",
    deleteHint: (/** @type {string} */ name) => `Type ${name} to delete it.`,
    deleteMismatch: "This is not the name of the connection.",
    deleted: (/** @type {string} */ name) => `The connection “${name}” has been deleted.`,
    since: (/** @type {string} */ time) => `since ${time}`,
    next: (/** @type {string} */ time) => `Next attempt: ${time}.`,
    gone: "This connection does not exist or has been deleted.",
    settings: "Basic settings",
    more: "More settings",
    dangerText: "Deletes the connection and all queued messages. This cannot be undone.",
  },

  settings: {
    edit: (/** @type {string} */ label) => `Edit ${label}`,
    remove: "Remove",
    confirmTitle: (/** @type {string} */ label) => `Change ${label}?`,
    from: "Current",
    to: "New",
    confirmText: "The new value takes effect within ten seconds.",
    reconnects: "The connection to the broker is closed and opened again.",
    hidden: "stored, not shown",
    nothing: "not set",
    yes: "Yes",
    no: "No",
    updated: (/** @type {string} */ label) => `${label} has been updated.`,
    removed: (/** @type {string} */ label) => `${label} has been removed.`,
    same: "This value is already set.",
  },

  statistics: {
    title: "Traffic",
    period: "Period",
    periods: { "1h": "1 h", "1d": "1 d" },
    devices: "Active devices",
    uplinks: "Uplinks",
    downlinks: "Downlinks",
    total: "total",
    parts: { delivered: "Delivered", failed: "Failed", lost: "Lost", waiting: "Waiting" },
    chart: "Messages over time",
    series: { uplinks: "Uplinks", downlinks: "Downlinks", failed: "Failed" },
    summary: (/** @type {number} */ up, /** @type {number} */ down, /** @type {number} */ failed) =>
      `${count(up, "uplink", "uplinks")}, ${count(down, "downlink", "downlinks")}, `
      + `${failed.toLocaleString("en")} failed`,
    asTable: "Show as a table",
    time: "Time",
    missing: "Statistics are not available on this server.",
    empty: "No messages in this period.",
  },

  events: {
    title: "Events",
    level: "Level",
    allLevels: "All levels",
    levels: { info: "Info", warning: "Warning", error: "Error" },
    empty: "No events yet.",
    older: "Show older events",
    list: "Events, newest first",
    many: (/** @type {string} */ first, /** @type {number} */ n) => `${first} (first of ${n} within a minute)`,
  },

  messages: {
    title: "Failed messages",
    waiting: (/** @type {number} */ n) => `${count(n, "message is", "messages are")} queued for the broker.`,
    empty: "No failed messages.",
    columns: { time: "Time", direction: "Direction", device: "Device", reason: "Reason", attempts: "Attempts" },
    directions: { uplink: "Uplink", downlink: "Downlink" },
    selectAll: "Select all shown messages",
    select: (/** @type {string} */ device, /** @type {string} */ time) => `Select the message of ${device}, ${time}`,
    open: "Open",
    openTitle: "Failed message",
    reason: "Reason",
    routingKey: "Routing key",
    body: "Body",
    replay: "Replay",
    purge: "Purge",
    scopeAll: "applies to all",
    scope: (/** @type {number} */ n) => `applies to ${n} selected`,
    replayTitle: "Replay all failed messages?",
    replayText: "The messages are put back in the queue, behind the messages that are already queued.",
    replayed: (/** @type {number} */ n) => `${count(n, "message was", "messages were")} put back in the queue.`,
    purgeTitle: "Purge all failed messages?",
    purgeText: "Removes all failed messages, not only the selected ones. This cannot be undone.",
    purged: "The failed messages have been removed.",
    replayUnderWay: "The other messages follow within minutes.",
    replayRemaining: "Replay the other messages again.",
    replayMissing: "Replay is not available on this server.",
    purgeMissing: "Purge is not available on this server.",
    older: "Show older messages",
    table: "Failed messages, newest first",
  },

  alarms: {
    title: "Alarms",
    empty: "No alarms. An alarm notifies you when fewer uplinks than expected arrive in an hour.",
    columns: { window: "Window", zone: "Time zone", days: "Days", minimum: "Minimum per hour", message: "Message" },
    add: "Add an alarm",
    addTitle: "Add an alarm",
    start: "From",
    end: "Until",
    zone: "Time zone",
    minimum: "Minimum uplinks per hour",
    message: "Message",
    days: "Days",
    daily: "every day",
    save: "Add",
    added: "The alarm has been added.",
    remove: "Remove the alarm",
    removed: "The alarm has been removed.",
    table: "Alarms of this connection",
    weekdays: ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
  },
};
