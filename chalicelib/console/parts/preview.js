/** The routing key of an example uplink, shown while the user types its pattern. */

import { post } from "./api.js";
import { h } from "./dom.js";
import { field } from "./fields.js";
import { T } from "../texts.js";

const PAUSE = 300;

/** The uplink whose routing key is shown, and the example of a report. */
export const EXAMPLE_UPLINK = {
  DevEUI_uplink: {
    Time: "2026-11-23T09:00:00.000+00:00",
    DevEUI: "0018B20000000B20",
    FPort: 2,
    FCntUp: 7011,
    payload_hex: "00271560",
    CustomerID: "100000507",
    CustomerData: { name: "Meter 7", alr: { pro: "ADRF/DEMO", ver: "1" }, tags: ["Paris:Office"] },
    ModelCfg: "1:TemperatureService",
    DriverCfg: { mod: { pId: "mycompany", mId: "level-sensor", ver: "1" } },
    LrrRSSI: -83.0,
    LrrSNR: 9.5,
  },
};

export function patternPreview() {
  const value = h("code", {});
  const hint = h("span.muted", {});
  const warning = h("span.caution", {});
  const label = h("span.muted", {}, `${T.preview.label}: `);
  const element = h("p.preview", { "aria-live": "polite" }, label, value, " ", hint, warning);
  let timer = 0;
  let request = new AbortController();
  let missing = false;
  /** @type {string | null} */
  let shown = null;

  /** @param {string} key @param {string} text @param {{ detail: string }[]} warnings */
  function show(key, text, bad = false, warnings = []) {
    value.textContent = key;
    hint.textContent = text;
    warning.textContent = warnings.map(({ detail }) => detail).join(" ");
    element.classList.toggle("bad", bad);
  }

  /** @param {string} pattern @param {Record<string, string>} options */
  async function ask(pattern, options) {
    request = new AbortController();
    // The other fields may be half typed: the request has only those that the routing key depends on.
    const configuration = {
      hostName: "preview.invalid", protocol: "TCP", uplinkTopicPattern: pattern, downlinkEnabled: false,
      sendMetadata: options.sendMetadata === "true",
    };
    const body = { configuration, uplink: EXAMPLE_UPLINK };
    try {
      const { json } = await post("connections/preview", body, { signal: request.signal });
      show(json.routingKey, T.preview.example, false, json.warnings);
    } catch (problem) {
      if (problem.name === "AbortError") return;
      missing = Boolean(problem.missing);
      // Asked again with the next change of any field: a server that was away may be back.
      if (!problem.status) shown = null;
      show("", missing ? T.preview.missing : problem.errors?.[0]?.detail || problem.message, !missing);
    }
  }

  return {
    element,
    /** @param {string} pattern @param {Record<string, string>} options the other fields */
    update(pattern, options = {}) {
      const wanted = `${pattern} ${options.sendMetadata}`;
      if (missing || wanted === shown) return;
      shown = wanted;
      window.clearTimeout(timer);
      request.abort();
      if (!pattern || field("uplinkTopicPattern").check?.(pattern)) show("", T.preview.none);
      else timer = window.setTimeout(() => ask(pattern, options), PAUSE);
    },
    stop() {
      window.clearTimeout(timer);
      request.abort();
    },
  };
}
