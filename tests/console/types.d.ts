/** Types of the web page, for tsc only: the documents of the API, and the values that the page's modules exchange. */

type Child = Node | string | number | null | undefined | false | Child[];

type Listeners = {
  [Name in keyof HTMLElementEventMap as `on${Name}`]?: (
    event: HTMLElementEventMap[Name] & { currentTarget: HTMLElement },
  ) => unknown;
};
/** Attributes of an element and its event listeners. */
interface Attributes extends Listeners {
  [name: string]: unknown;
}

/** A part of a view that shows a connection. */
interface Section {
  element: HTMLElement;
  update: () => void;
}

type State =
  | "OPENED"
  | "OPENING"
  | "AUTHENTICATING"
  | "AUTHENTICATION_FAILED"
  | "UNREACHABLE"
  | "CLOSING"
  | "CLOSED"
  | "DEACTIVATED";

interface Configuration {
  hostName?: string;
  protocol?: string;
  [key: string]: string | number | boolean | null | undefined;
}

interface Connection {
  id: string;
  name: string;
  connectorId: string;
  version: number;
  active: boolean;
  state: State;
  stateReason: string | null;
  downlinkState: "OPENED" | "CLOSED" | null;
  downlinkStateReason: string | null;
  startupTime: string | null;
  nextAttempt: string | null;
  routing: "all" | "flows";
  createdAt: string;
  configuration: Configuration;
  alarms: Alarm[];
}

/** A change of a connection (RFC 7396). */
interface ConnectionChange {
  name?: unknown;
  active?: boolean;
  configuration?: Record<string, unknown>;
  alarms?: Alarm[];
}

interface Alarm {
  startTime: string;
  endTime: string;
  timezone: string;
  recurrence: { frequency: string; byDays?: string[] }[];
  uplinkRateMinPerHour: number;
  message: string;
}

/** A condition on a report: all tags, or one of the devices. */
interface Matcher {
  type: "thing" | "key";
  tags?: string[];
  key?: string;
  keys?: string[];
}

interface FlowConnector {
  connectionId: string;
  uplinkTimeValidity?: string;
}

interface Flow {
  id: string;
  name: string;
  version: number;
  description?: string;
  active: boolean;
  matchers: Matcher[];
  connectors: FlowConnector[];
  driver?: { id: string };
}

/** The result of the driver for a previewed report. */
interface Decoded {
  driver: string;
  name: string;
  payload: unknown;
  errors: string[];
  warnings: string[];
}

/** The fate of a previewed report at one connection. */
interface Reached {
  connectionId: string;
  name: string;
  receives: boolean;
  flow: { id: string; name: string; matcher: number | null; driver: string | null } | null;
  decoded: Decoded | null;
  routingKey: string | null;
  detail: string | null;
}

/** A model of a device. */
interface Model {
  producerId: string;
  moduleId: string;
  version: string;
}

interface Driver {
  id: string;
  name: string;
  version: number;
  description?: string;
  signature: "lora-alliance" | "ttn" | "chirpstack" | "actility";
  models: Model[];
  updatedAt: string;
  code?: string;
}

type StepName = "accepted" | "waiting" | "attempted" | "delivered" | "failed" | "lost" | "replayed";

interface TraceStep {
  time: string;
  step: StepName;
  attempts: number | null;
  routingKey: string | null;
  reason: string | null;
  detail: string | null;
}

/** A message and its history. */
interface TracedMessage {
  id: string;
  connectionId: string;
  direction: "uplink" | "downlink";
  status: "waiting" | "delivered" | "failed" | "lost";
  type: string | null;
  devEUI: string | null;
  fCntUp: number | null;
  acceptedAt: string;
  time: string;
  routingKey: string | null;
  attempts: number;
  reason: string | null;
  detail: string | null;
  failedId: string | null;
  steps: TraceStep[];
}

interface Fault {
  pointer: string;
  detail: string;
  line?: number;
  column?: number;
}

interface Difference {
  pointer: string;
  expected?: unknown;
  actual?: unknown;
}

interface ExampleResult {
  type: string;
  description: string;
  passed: boolean;
  differences: Difference[];
  errors: string[];
  milliseconds: number;
}

/** The result of code that is not saved. */
interface Trial {
  data: unknown;
  bytes: string | null;
  fPort: number | null;
  warnings: string[];
  errors: string[];
  milliseconds: number;
  console: string[];
  examples: ExampleResult[];
}

type Part = "delivered" | "failed" | "lost" | "waiting";
type Series = "uplinks" | "downlinks" | "failed";
type Counts = Record<Part, number>;
type Point = { time: string } & Record<Series, number>;

interface Statistics {
  activeDevices: number;
  uplinks: Counts;
  downlinks: Counts;
  series?: Point[];
}

/** Connections with the same fault. */
interface FaultGroup {
  cause: string;
  direction: "both" | "uplink" | "downlink";
  level: "error" | "warning";
  count: number;
  since: string | null;
  nextAttempt: string | null;
  reason: string | null;
  sameReason: boolean;
  waiting: number;
  waitingIsExact: boolean;
  connectionIds: string[];
}

interface Summary {
  time: string;
  total: number;
  states: Record<State, number>;
  healthy: number;
  faults: FaultGroup[];
  uplinks: Omit<Counts, "waiting">;
  downlinks: Omit<Counts, "waiting">;
  series: Point[];
}

/** The numbers of one connection in the list. */
interface Numbers {
  id: string;
  since: string | null;
  causes: string[];
  lastMessage: string | null;
  statistics: Statistics;
}

interface ConnectionEvent {
  id: string;
  time: string;
  level: "info" | "warning" | "error";
  type: string;
  message: string;
  details?: Record<string, unknown>;
}

interface FailedMessage {
  id: string;
  time: string;
  direction: "uplink" | "downlink";
  devEUI: string | null;
  reason: string;
  detail: string;
  routingKey: string | null;
  attempts: number;
  body: string;
}

type NotificationKind =
  | "connection.opened"
  | "connection.faulty"
  | "connection.recovered"
  | "uplinks.low_rate"
  | "certificate.expires"
  | "messages.expire";

interface NotificationSettings {
  active: boolean;
  url?: string;
  topicArn?: string;
  kinds: NotificationKind[];
  faultyAfter: number;
  quietHours?: { startTime: string; endTime: string; timezone: string };
  secret?: string;
  version: number;
}

/** A notification with the result of its last attempt. */
interface Delivery {
  kind: NotificationKind | "test";
  message: string;
  connectionId: string | null;
  time: string;
  status: "pending" | "delivered" | "failed";
  attempts: number;
  nextAttempt: string | null;
  httpStatus: number | null;
  detail: string | null;
  milliseconds: number | null;
}

interface TestStep {
  name: string;
  ok: boolean;
  milliseconds?: number;
  detail: string;
}

/** The identity provider at which users sign in. */
interface Oidc {
  clientId: string;
  scope: string;
  authorizationEndpoint: string;
  tokenEndpoint: string;
}

interface SignInConfiguration {
  tenantClaim: string;
  oidc: Oidc | null;
}

/** State and verifier of one sign-in (RFC 7636). */
interface SignInSecrets {
  state: string;
  verifier: string;
}

/** An answer of the API. */
interface Answer {
  json: any;
  headers: Headers;
  status: number;
}

interface CallOptions {
  body?: unknown;
  headers?: Record<string, string>;
  renew?: boolean;
  signal?: AbortSignal;
}
