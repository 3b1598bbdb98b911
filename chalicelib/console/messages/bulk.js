/** Replay of all messages that failed since a time, with its progress. */

import { get, nextPage, post } from "../parts/api.js";
import { errorLine } from "../parts/dialog.js";
import { button, h, newId } from "../parts/dom.js";
import { M } from "../texts/messages.js";
import { localTime } from "./filters.js";

/** Messages of one call: a call puts back what fits into fifteen seconds. */
const CALL = 50;
const DAY = 86_400_000;

/** @param {() => URLSearchParams} filters of the list @param {() => void} changed is called after a replay */
export function bulkPanel(filters, changed) {
  const field = newId("since");
  const since = h("input", { id: field, type: "datetime-local", value: localTime(Date.now() - DAY) });
  const start = button(M.bulkStart, { onclick: run });
  const stop = button(M.stop, { kind: "plain", hidden: true, onclick: () => (stopped = true) });
  const bar = h("progress", { "aria-label": M.progress, max: "1", value: "0", hidden: true });
  const note = h("p.muted.small", { "aria-live": "polite" });
  const error = errorLine();
  let stopped = false;

  async function run() {
    stopped = false;
    start.disabled = true;
    stop.hidden = false;
    error.show("");
    bar.hidden = false;
    bar.removeAttribute("value");
    try {
      const first = new Date(since.value || 0).toISOString();
      const found = await failedSince(first, filters(), (number) => {
        note.textContent = M.counting(number);
        return !stopped;
      });
      const all = [...found.values()].reduce((sum, ids) => sum + ids.length, 0);
      if (!stopped) await replay(found, all);
    } catch (problem) {
      error.show(problem.message);
    }
    start.disabled = false;
    stop.hidden = true;
    changed();
  }

  /** @param {Map<string, string[]>} found @param {number} all */
  async function replay(found, all) {
    let done = 0;
    bar.max = Math.max(all, 1);
    bar.value = 0;
    note.textContent = all ? M.done(0, all) : M.noneFailed;
    bar.hidden = !all;
    for (const [connection, ids] of found) {
      for (let next = 0; next < ids.length && !stopped; ) {
        const part = ids.slice(next, next + CALL);
        const path = `connections/${encodeURIComponent(connection)}/messages/replay`;
        const { json } = await post(path, { ids: part });
        const tried = part.length - (json.remaining ?? 0);
        next += tried;
        done += tried;
        bar.value = done;
        note.textContent = M.done(done, all);
      }
    }
    if (stopped) note.textContent = M.stopped(done);
  }

  return h(
    "section.panel.bulk",
    {},
    h("h2", {}, M.bulk),
    h("p.muted.small", {}, M.bulkHint),
    h("div.tools", {}, h("div.tool", {}, h("label", { for: field }, M.since), since), start, stop),
    bar,
    note,
    error.element,
  );
}

/**
 * The ids of failed messages by connection, the oldest first.
 * @param {string} first the time of the first failure @param {URLSearchParams} filters
 * @param {(number: number) => boolean} counted is called after each page; it returns whether to go on
 * @returns {Promise<Map<string, string[]>>}
 */
async function failedSince(first, filters, counted) {
  const wanted = new URLSearchParams(filters);
  wanted.set("status", "failed");
  wanted.set("limit", "100");
  /** @type {Map<string, string[]>} */
  const found = new Map();
  let number = 0;
  for (let next = /** @type {string | null} */ (`messages?${wanted}`); next; ) {
    const { json, headers } = await get(next);
    const page = /** @type {TracedMessage[]} */ (json);
    for (const { connectionId, failedId } of page.filter(({ time, failedId: id }) => id && time >= first)) {
      found.set(connectionId, [/** @type {string} */ (failedId), ...(found.get(connectionId) ?? [])]);
      number += 1;
    }
    if (!counted(number)) break;
    // The list begins with the newest failure.
    next = page.some(({ time }) => time < first) ? null : nextPage(headers);
  }
  return found;
}
