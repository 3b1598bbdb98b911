/** The faults by cause: since when, waiting messages, the next attempt, the remedy, and the way out. */

import { get, post } from "../parts/api.js";
import { causeName } from "./causes.js";
import { notify } from "../parts/dialog.js";
import { button, h, icon, put, spoken } from "../parts/dom.js";
import { addressOf } from "../parts/query.js";
import { ago } from "../parts/times.js";
import { T } from "../texts.js";

const ENDS = "CERTIFICATE_ENDS";

/** @param {() => Promise<unknown>} reload */
export function faultsSection(reload) {
  const heading = h("div.title-row", {});
  const list = h("ul.faults", {});
  const element = h("section.attention.panel", { "aria-label": T.overview.attention }, heading, list);
  let face = "";

  /** @param {Summary} summary */
  function update(summary) {
    // Relative times change by themselves; a section that has the focus is drawn again only if its content differs.
    const { faults, healthy, states } = summary;
    const fresh = JSON.stringify([faults, healthy, Math.floor(Date.now() / 60_000)]);
    if (fresh === face) return;
    face = fresh;
    const restartable = faults.filter(({ cause }) => cause !== ENDS);
    const all = restartable.reduce((sum, { count }) => sum + count, 0);
    const focused = element.contains(document.activeElement) && document.activeElement?.getAttribute("data-focus");
    element.classList.toggle("fine", faults.length === 0);
    put(
      heading,
      faults.length > 0 && h("h2", {}, T.overview.attention),
      restartable.length > 1 && button(T.overview.restartAll(all), {
        kind: "primary", "data-focus": "all", onclick: () => restart(restartable, reload),
      }),
    );
    put(list, faults.map((each) => groupRow(each, reload)), faults.length === 0 && fine(healthy, states));
    const again = focused && element.querySelector(`[data-focus="${focused}"]`);
    if (again instanceof HTMLElement) again.focus();
  }
  return { element, update };
}

/** @param {number} healthy @param {Record<State, number>} states */
function fine(healthy, states) {
  const text = healthy ? T.overview.healthy(healthy) : T.overview.inactive;
  return h("li.healthy", {}, icon(healthy && states.OPENED ? "check" : "info"), h("p", {}, text));
}

/** @param {string | null | undefined} time */
function next(time) {
  if (!time) return T.overview.noNext;
  return Date.parse(time) > Date.now() ? [`${T.overview.next} `, ago(time)] : T.overview.due;
}

/** @param {FaultGroup} group @param {() => Promise<unknown>} reload */
function groupRow(group, reload) {
  const { cause, direction, level, count, since, nextAttempt, waiting, waitingIsExact, connectionIds } = group;
  const name = causeName(cause);
  const ends = cause === ENDS;
  const href = count === 1
    ? `#/connections/${encodeURIComponent(connectionIds[0])}`
    : addressOf("/connections", { cause });
  const facts = [
    since && h("span", {}, `${ends ? T.overview.ends : T.overview.since} `, ago(since)),
    !ends && h("span", { class: waiting ? "busy" : "" }, T.overview.waiting(waiting, waitingIsExact)),
    !ends && h("span", {}, next(nextAttempt)),
    T.overview.directions[direction] && h("span.tag", {}, T.overview.directions[direction]),
  ];
  const label = count === 1 ? T.overview.restart : T.overview.restartSome(count);
  const key = `${cause}-${direction}`;
  const run = button(label, { kind: "small", "data-focus": key, onclick: () => restart([group], reload) });
  run.append(spoken(`: ${name}`));
  return h(
    `li.fault.${level === "error" ? "bad" : "caution"}`,
    {},
    icon("alert"),
    h(
      "div.fault-text",
      {},
      h("h3", {}, T.overview.group(count, name)),
      h("p.fault-facts.muted.small", {}, facts),
      h("p", {}, remedy(group)),
    ),
    h(
      "div.fault-actions",
      {},
      !ends && run,
      h("a.button.small", { href, "data-focus": `${key}-open` }, T.overview.open, spoken(`: ${name}`)),
    ),
  );
}

/** @param {FaultGroup} group */
function remedy({ cause, reason, sameReason }) {
  if (cause === ENDS) return T.overview.certificate;
  if (!reason) return T.overview.unknown;
  return sameReason ? reason : [h("span.muted", {}, T.overview.example), reason];
}

/** Restarts the connections of groups. @param {FaultGroup[]} groups @param {() => Promise<unknown>} reload */
async function restart(groups, reload) {
  try {
    const wanted = new Map();
    for (const group of groups) for (const [id, name] of await membersOf(group)) wanted.set(id, name);
    if (wanted.size === 1) {
      await post(`connections/${encodeURIComponent([...wanted.keys()][0])}/restart`);
      notify(T.bulk.done.restart(1));
    } else {
      const { runAction } = await import("./bulk.js");
      await runAction("restart", wanted);
    }
  } catch (problem) {
    notify(problem.message, "bad");
  }
  await reload();
}

/** Ids and names of all connections of a group. @param {FaultGroup} group @returns {Promise<[string, string][]>} */
async function membersOf({ cause, count, connectionIds }) {
  if (count <= connectionIds.length) return connectionIds.map((id) => [id, id]);
  /** @type {[string, string][]} */
  const found = [];
  for (let offset = 0; offset < count; offset += 100) {
    const { json } = await get(`connections?sort=worst&cause=${cause}&limit=100&offset=${offset}`);
    found.push(...json.map((/** @type {Connection} */ { id, name }) => [id, name]));
  }
  return found;
}
