/** The history of one message: its steps, the events of its connection meanwhile, its body and headers. */

import { get, getAll, post } from "../parts/api.js";
import { notify } from "../parts/dialog.js";
import { button, h, put } from "../parts/dom.js";
import { moment, pretty } from "../parts/format.js";
import { M } from "../texts/messages.js";

/** Seconds of a wait from which the events of the connection explain it. */
const WAIT = 3;
/** Seconds after the last step in which its event may still be written. */
const LATE = 2;

/** @param {TracedMessage} message @param {() => void} changed is called after a replay */
export function history(message, changed) {
  const steps = h("ol.timeline", { "aria-label": M.history }, message.steps.map(step));
  const rest = h("div.message-rest", {});
  const element = h("div.message-history", {}, steps, rest);
  explain(message, steps);
  if (message.failedId) showBody(message, rest, changed);
  else put(rest, h("p.muted.small", {}, message.status === "failed" ? M.gone : M.notKept));
  return element;
}

/** @param {TraceStep} each */
function step({ time, step: name, attempts, routingKey, reason, detail }) {
  const facts = [
    attempts && name !== "waiting" ? M.attempt(attempts) : "",
    reason && h("code", {}, reason),
    routingKey && name === "delivered" ? h("code", {}, routingKey) : "",
  ].filter(Boolean);
  return h(
    "li",
    { "data-step": name },
    h("time", { datetime: time }, moment(time)),
    h("span.step-what", {}, h("strong", {}, M.steps[name]), facts.map((fact) => [" · ", fact])),
    detail && h("span.step-why", {}, detail),
  );
}

/**
 * Adds the events of the connection, such as its own attempts to connect, while the message waited.
 * @param {TracedMessage} message @param {HTMLElement} steps
 */
async function explain(message, steps) {
  const end = message.status === "waiting" ? Date.now() : Date.parse(message.time);
  if (end - Date.parse(message.acceptedAt) < WAIT * 1000) return;
  const id = encodeURIComponent(message.connectionId);
  const period = `from=${encodeURIComponent(message.acceptedAt)}&to=${new Date(end + LATE * 1000).toISOString()}`;
  /** @type {ConnectionEvent[]} */
  let events;
  try {
    ({ json: events } = await get(`connections/${id}/events?limit=100&${period}`));
  } catch {
    // The steps are complete without the events.
    return;
  }
  for (const each of events.reverse()) {
    const row = h(
      "li.event-step",
      {},
      h("time", { datetime: each.time }, moment(each.time)),
      h("span.step-what", {}, M.event, " · ", h("code", {}, each.type)),
      h("span.step-why", {}, each.message),
    );
    const next = [...steps.children].find(
      (other) => (other.querySelector("time")?.getAttribute("datetime") ?? "") > each.time,
    );
    steps.insertBefore(row, next ?? null);
  }
}

/** @param {TracedMessage} message @param {HTMLElement} place @param {() => void} changed */
async function showBody(message, place, changed) {
  const base = `connections/${encodeURIComponent(message.connectionId)}`;
  put(place, h("p.muted.small", {}, M.reading));
  try {
    const { json } = await get(`${base}/messages/${encodeURIComponent(message.failedId ?? "")}`);
    const headers = await headersOf(message, base, json.body);
    const replay = button(M.replay, { kind: "small", onclick: () => replayOne(message, base, replay, changed) });
    put(
      place,
      h("div.actions", {}, replay),
      headers && [
        h("h2", {}, M.headers),
        h("dl.facts", {}, Object.entries(headers).map(([name, value]) =>
          h("div", {}, h("dt.mono", {}, name), h("dd.mono", {}, String(value))))),
      ],
      h("h2", {}, M.body),
      h("pre", { tabindex: "0" }, pretty(json.body)),
    );
  } catch (problem) {
    put(place, h("p.muted.small", {}, problem.status === 404 ? M.gone : problem.message));
  }
}

/**
 * The AMQP headers of a failed uplink, null if it cannot be published as the connection is configured.
 * @param {TracedMessage} message @param {string} base @param {string} body
 * @returns {Promise<Record<string, unknown> | null>}
 */
async function headersOf(message, base, body) {
  if (message.direction !== "uplink") return null;
  try {
    const { json: connection } = await get(base);
    const { uplinkTopicPattern, sendMetadata, sendRawDecodedFormat } = connection.configuration;
    const configuration = { uplinkTopicPattern, sendMetadata, sendRawDecodedFormat, downlinkEnabled: false };
    const { json } = await post("connections/preview", { configuration, uplink: JSON.parse(body) });
    return { ...json.headers, connectionId: message.connectionId };
  } catch {
    return null;
  }
}

/** @param {TracedMessage} message @param {string} base @param {HTMLButtonElement} replay @param {() => void} changed */
async function replayOne(message, base, replay, changed) {
  replay.disabled = true;
  try {
    const { json } = await post(`${base}/messages/replay`, { ids: [message.failedId] });
    notify(json.replayed ? M.replayed : M.alreadyGone, json.replayed ? "good" : "caution");
    changed();
  } catch (problem) {
    notify(problem.message, "bad");
    replay.disabled = false;
  }
}

/** The names of all connections by id. @returns {Promise<Map<string, string>>} */
export async function connectionNames() {
  const all = await getAll("connections?limit=100");
  return new Map(all.map(({ id, name }) => [id, name]));
}
