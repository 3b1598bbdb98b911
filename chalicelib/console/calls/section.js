/** The calls behind the details of a connection, to copy. */

import { curlButton } from "./curl.js";
import { h } from "../parts/dom.js";
import { C } from "../texts/curl.js";

/**
 * Reading, replacing and testing a connection. A masked secret in the body of PUT keeps the stored one.
 * @param {() => Connection} current @param {string} path
 */
export function callsSection(current, path) {
  const replacing = () => {
    const { connectorId, name, active, alarms, configuration, version } = current();
    const body = { connectorId, name, active, alarms, configuration };
    return { method: "PUT", path, headers: { "If-Match": `"${version}"` }, body };
  };
  const buttons = [
    curlButton(C.read, () => ({ method: "GET", path })),
    curlButton(C.replace, replacing),
    curlButton(C.test, () => ({ method: "POST", path: `${path}/test`, body: {} })),
  ];
  const text = h("p.muted", {}, C.sectionText);
  return h("section.panel.calls", {}, h("h2", {}, C.section), text, h("div.actions", {}, buttons));
}
