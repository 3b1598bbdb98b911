/** The choice of the connection type, the first step of creating a connection. */

import { crumb, h, icon, newId, put } from "../parts/dom.js";
import { T } from "../texts.js";

/** @param {HTMLElement} place */
export function chooseView(place) {
  const name = newId("type");
  const hint = newId("type-hint");
  const open = () => (location.hash = "#/create/amqp");
  const amqp = h(
    "button.choice",
    { type: "button", "aria-labelledby": name, "aria-describedby": hint, onclick: open },
    icon("broker", 28),
    h("strong", { id: name }, T.choose.amqp),
    h("span.muted", { id: hint }, T.choose.amqpHint),
  );
  put(
    place,
    crumb("#/connections", T.connections),
    h("h1", {}, T.choose.title),
    h("p.muted", {}, T.choose.intro),
    h("div.choices", {}, amqp),
  );
  amqp.focus({ preventScroll: true });
}
