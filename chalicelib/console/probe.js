/** Trying things without saving them: the connection's steps, and the routing key of an example uplink. */

import { post } from "./api.js";
import { h, icon, put, spoken } from "./dom.js";
import { field } from "./fields.js";
import { EXAMPLE_UPLINK, T } from "./texts.js";

const PAUSE = 300;

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

/** The routing key that a pattern gives, shown while it is typed. */
export function patternPreview() {
  const value = h("code", {});
  const hint = h("span.muted", {});
  const element = h("p.preview", { "aria-live": "polite" }, h("span.muted", {}, `${T.preview.label}: `), value, " ", hint);
  let timer = 0;
  let request = new AbortController();
  let missing = false;
  let shown = null;

  function tell(key, text, bad = false) {
    value.textContent = key;
    hint.textContent = text;
    element.classList.toggle("bad", bad);
  }

  async function ask(pattern, options) {
    request = new AbortController();
    // The other fields may be half typed: only what the key depends on is sent.
    const configuration = {
      hostName: "preview.invalid", protocol: "TCP", uplinkTopicPattern: pattern, downlinkEnabled: false,
      sendMetadata: options.sendMetadata === "true",
    };
    try {
      const { json } = await post("connections/preview", { configuration, uplink: EXAMPLE_UPLINK }, { signal: request.signal });
      tell(json.routingKey, T.preview.example);
    } catch (problem) {
      if (problem.name === "AbortError") return;
      missing = Boolean(problem.missing);
      tell("", problem.missing ? T.preview.missing : problem.errors?.[0]?.detail || problem.message, !problem.missing);
    }
  }

  return {
    element,
    update(pattern = "", options = {}) {
      const wanted = `${pattern} ${options.sendMetadata}`;
      if (missing || wanted === shown) return;
      shown = wanted;
      window.clearTimeout(timer);
      request.abort();
      // One that is half typed needs no answer.
      if (!pattern || field("uplinkTopicPattern").check(pattern)) tell("", T.preview.none);
      else timer = window.setTimeout(() => ask(pattern, options), PAUSE);
    },
    stop() {
      window.clearTimeout(timer);
      request.abort();
    },
  };
}
