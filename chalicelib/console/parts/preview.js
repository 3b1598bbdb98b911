/** The routing key of an example uplink, shown while its pattern is typed. */

import { post } from "./api.js";
import { h } from "./dom.js";
import { field } from "./fields.js";
import { EXAMPLE_UPLINK, T } from "../texts.js";

const PAUSE = 300;

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
