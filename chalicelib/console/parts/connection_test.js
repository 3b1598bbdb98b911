/** The test of a connection's settings, shown step by step. */

import { post } from "./api.js";
import { h, icon, put, spoken } from "./dom.js";
import { T } from "../texts.js";

/** A panel that shows the steps of a test; `intro` is what it says before. */
export function testPanel(intro = "") {
  const said = h("p", { "aria-live": "polite" }, h("span.muted", {}, intro));
  const steps = h("ol.steps", {});
  const element = h("section.panel.probe", { hidden: !intro }, h("h2", {}, T.probe.title), said, steps);

  /** `refused` is called with a Problem where the input was not accepted. */
  async function run(path, body, refused = () => {}) {
    element.hidden = false;
    put(steps);
    put(said, h("span.spinner", { "aria-hidden": "true" }), T.probe.running);
    element.scrollIntoView({ block: "nearest" });
    try {
      const { json } = await post(path, body);
      put(said, h(json.ok ? "strong.good" : "strong.bad", {}, json.ok ? T.probe.ok : T.probe.failed));
      put(steps, (json.steps || []).map(step));
    } catch (problem) {
      put(said, problem.missing ? T.probe.missing : problem.message);
      if (problem.errors?.length) {
        element.hidden = !intro;
        put(said, h("span.muted", {}, intro));
        refused(problem);
      }
    }
  }
  return { element, run };
}

function step({ name, ok, milliseconds, detail }) {
  return h(
    ok ? "li.good" : "li.bad",
    {},
    icon(ok ? "check" : "close", 16),
    h("span.step-name", {}, T.probe.steps[name] || name),
    spoken(ok ? T.probe.passedStep : T.probe.failedStep),
    h("span.muted.step-time", {}, Number.isFinite(milliseconds) ? T.probe.milliseconds(milliseconds) : ""),
    h("span.step-detail", {}, detail),
  );
}
