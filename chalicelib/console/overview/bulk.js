/** Actions on several connections: a few calls at a time, with their progress and their failures. */

import { call, get, patch, post, remove } from "../parts/api.js";
import { confirm, errorLine, notify, openDialog } from "../parts/dialog.js";
import { button, h, newId, put } from "../parts/dom.js";
import { T } from "../texts.js";

/** @typedef {"restart" | "activate" | "deactivate" | "test" | "export" | "delete"} Action */
/** @typedef {Exclude<Action, "export">} Running */

const AT_ONCE = 4;
const TRIES = 8;

/** @type {Record<Running, (id: string) => Promise<unknown>>} */
const CALLS = {
  restart: (id) => post(`${pathOf(id)}/restart`),
  activate: (id) => setActive(id, true),
  deactivate: (id) => setActive(id, false),
  test: async (id) => {
    const { json } = await patiently(() => call("POST", `${pathOf(id)}/test`, { body: {} }));
    const failed = json.steps.find((/** @type {TestStep} */ each) => !each.ok);
    if (!json.ok) throw new Error(failed?.detail || T.bulk.testFailed);
  },
  delete: (id) => remove(pathOf(id)),
};

/** @param {string} id */
const pathOf = (id) => `connections/${encodeURIComponent(id)}`;

/** @param {string} id @param {boolean} active */
async function setActive(id, active) {
  const { json } = await get(pathOf(id));
  if (json.active !== active) await patch(json, { active });
}

/**
 * Repeats a call while the tenant's rate limit refuses it.
 * @param {() => Promise<Answer>} run @returns {Promise<Answer>}
 */
async function patiently(run) {
  for (let tried = 1; ; tried += 1) {
    try {
      return await run();
    } catch (problem) {
      if (problem.status !== 429 || tried === TRIES) throw problem;
      await new Promise((resolve) => window.setTimeout(resolve, 1000 * tried));
    }
  }
}

/**
 * Runs an action on the selected connections, and removes deleted ones from the selection. Settles with whether
 * anything was done.
 * @param {Action} action @param {Map<string, string>} selected ids and names
 */
export async function runAction(action, selected) {
  const number = selected.size;
  if (action === "export") {
    const { exportConnections } = await import("./export.js");
    await exportConnections([...selected.keys()]);
    return false;
  }
  if (action === "delete" && !(await typedNumber(number))) return false;
  if (action === "deactivate" && !(await confirm(T.bulk.deactivateTitle(number), T.details.deactivate))) return false;
  const { done, failed } = await withProgress(action, [...selected]);
  if (action === "delete") for (const id of done) selected.delete(id);
  if (done.length) notify(T.bulk.done[action](done.length));
  return done.length + failed > 0;
}

/** Asks the user to type the number of connections. @param {number} number @returns {Promise<boolean | null>} */
function typedNumber(number) {
  return openDialog(T.bulk.deleteTitle(number), (close) => {
    const error = errorLine();
    const id = newId("number");
    const hint = newId("hint");
    const input = h("input", {
      id, type: "text", inputmode: "numeric", autocomplete: "off", autofocus: true, "aria-describedby": hint,
    });
    const label = h("div.label", {}, h("label", { for: id }, T.bulk.deleteField));
    return {
      body: [
        h("p", {}, T.bulk.deleteText),
        h("div.field", {}, label, h("p.hint", { id: hint }, T.bulk.deleteHint(number)), input, error.element),
      ],
      onsubmit: () => {
        if (input.value.trim() === String(number)) close(true);
        else {
          error.show(T.bulk.deleteMismatch);
          input.focus();
        }
      },
      actions: [
        button(T.cancel, { onclick: () => close() }),
        button(T.details.delete, { kind: "danger", type: "submit" }),
      ],
    };
  });
}

/**
 * Shows the progress in a window, which closes at the end unless something failed.
 * @param {Running} action @param {[string, string][]} connections
 * @returns {Promise<{done: string[], failed: number}>}
 */
async function withProgress(action, connections) {
  /** @type {string[]} */
  const done = [];
  let failed = 0;
  const title = T.bulk.titles[action](connections.length);
  await openDialog(
    title,
    (close) => {
      const bar = h("progress", { max: String(connections.length), value: "0", "aria-label": title });
      const text = h("p", { "aria-live": "polite" });
      const faults = h("ul.bulk-faults", { "aria-label": T.bulk.failures, tabindex: "0", hidden: true });
      const stop = button(T.bulk.stop, { autofocus: true, onclick: () => ((stopped = true), close()) });
      let stopped = false;
      const queue = [...connections];
      const draw = () => {
        bar.value = done.length + failed;
        put(text, T.bulk.progress(done.length, connections.length, failed));
      };
      const work = async () => {
        for (let next = queue.shift(); next && !stopped; next = queue.shift()) {
          const [id, name] = next;
          try {
            await CALLS[action](id);
            done.push(id);
          } catch (problem) {
            failed += 1;
            faults.hidden = false;
            faults.append(h("li", {}, h("strong", {}, name), ` ${problem.message}`));
          }
          draw();
        }
      };
      draw();
      Promise.all(Array.from({ length: AT_ONCE }, work)).then(() => {
        if (stopped) return;
        if (failed) put(stop, h("span", {}, T.close));
        else close();
      });
      return { body: [bar, text, faults], actions: [stop], onsubmit: () => {} };
    },
    { locked: true },
  );
  return { done, failed };
}
