/** The test of a connection's settings, shown step by step. */

import { post } from "./api.js";
import { h, icon, put } from "./dom.js";
import { T } from "../texts.js";

/** A panel that shows the steps of a test. It is hidden before the first test if it has no introduction. */
export function testPanel(intro = "") {
  const summary = h("p", { "aria-live": "polite" }, h("span.muted", {}, intro));
  const steps = h("ol.steps", {});
  const element = h("section.panel.test", { hidden: !intro }, h("h2", {}, T.test.title), summary, steps);

  /**
   * @param {string} path @param {unknown} body
   * @param {(problem: import("./api.js").Problem) => void} refused is called if the API rejects the settings
   */
  async function run(path, body, refused = () => {}) {
    element.hidden = false;
    put(steps);
    put(summary, h("span.spinner", { "aria-hidden": "true" }), T.test.running);
    element.scrollIntoView({ block: "nearest" });
    try {
      const { json } = await post(path, body);
      put(summary, h(json.ok ? "strong.good" : "strong.bad", {}, json.ok ? T.test.ok : T.test.failed));
      put(steps, (json.steps || []).map(row));
    } catch (problem) {
      put(summary, problem.missing ? T.test.missing : problem.message);
      if (problem.errors?.length) {
        element.hidden = !intro;
        put(summary, h("span.muted", {}, intro));
        refused(problem);
      }
    }
  }
  return { element, run };
}

/** @type {Record<string, string>} */
const NAMES = T.test.steps;

/** @param {TestStep} step */
function row({ name, ok, milliseconds, detail }) {
  const time = milliseconds !== undefined && Number.isFinite(milliseconds) ? T.test.milliseconds(milliseconds) : "";
  return h(
    ok ? "li.good" : "li.bad",
    {},
    icon(ok ? "check" : "close", 16),
    h("span.step-name", {}, NAMES[name] || name),
    h("span.step-state", {}, ok ? T.test.passedStep : T.test.failedStep),
    h("span.muted.step-time", {}, time),
    h("span.step-detail", {}, detail),
  );
}
