/** Starts the page: sign-in, the frame around the views, and the view of each address. */

import { onTrouble, setToken } from "./parts/api.js";
import { notify } from "./parts/dialog.js";
import { button, byId, h, icon, logo, put } from "./parts/dom.js";
import { prepare, tenant } from "./parts/session.js";
import { forgetExamples } from "./drivers/examples.js";
import { driverView } from "./drivers/form.js";
import { driversView } from "./drivers/list.js";
import { flowView } from "./flows/form.js";
import { flowsView } from "./flows/list.js";
import { forgetPreview } from "./flows/preview.js";
import { chooseView } from "./views/choose.js";
import { detailsView } from "./views/details.js";
import { forgetDraft, formView } from "./views/form.js";
import { forgetList, listView } from "./views/list.js";
import { renew, signInView } from "./views/sign_in.js";
import { T } from "./texts.js";

const app = byId("app");
const outlet = h("main", { id: "content", tabindex: "-1" });
const offline = h("p.offline", { role: "alert", hidden: true });
/** The links of the navigation, with the addresses that each stands for. @type {[HTMLElement, RegExp][]} */
const LINKS = [
  [h("a", { href: "#/" }, T.connections), /^$|^\/($|create|connections)/],
  [h("a", { href: "#/flows" }, T.flows.title), /^\/flows/],
  [h("a", { href: "#/drivers" }, T.drivers.title), /^\/drivers/],
];
let signedIn = false;
let leave = () => {};

/** @type {[RegExp, (...groups: string[]) => void | (() => void)][]} */
const ROUTES = [
  [/^\/?$/, () => listView(outlet)],
  [/^\/create$/, () => chooseView(outlet)],
  [/^\/create\/amqp$/, () => formView(outlet)],
  [/^\/connections\/([^/]+)$/, (id) => detailsView(outlet, decodeURIComponent(id))],
  [/^\/drivers$/, () => driversView(outlet)],
  [/^\/drivers\/create$/, () => driverView(outlet)],
  [/^\/drivers\/([^/]+)$/, (id) => driverView(outlet, decodeURIComponent(id))],
  [/^\/flows$/, () => flowsView(outlet)],
  [/^\/flows\/create$/, () => flowView(outlet)],
  [/^\/flows\/([^/]+)$/, (id) => flowView(outlet, decodeURIComponent(id))],
];

/** Shows the view of the address. */
function show() {
  leave();
  leave = () => {};
  const path = location.hash.replace(/^#/, "");
  for (const [link, pattern] of LINKS) {
    if (pattern.test(path)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  for (const [pattern, view] of ROUTES) {
    const match = pattern.exec(path);
    if (match) {
      leave = view(...match.slice(1)) || (() => {});
      window.scrollTo(0, 0);
      const heading = outlet.querySelector("h1");
      document.title = [heading?.textContent, T.product].filter(Boolean).join(" – ");
      // The focus lets a screen reader announce the view. Views that begin with a field have set it already.
      if (!outlet.contains(document.activeElement)) outlet.focus({ preventScroll: true });
      return;
    }
  }
  location.replace("#/");
}

function frame() {
  const name = tenant();
  put(
    app,
    h("a.skip", { href: "#content", onclick: (event) => (event.preventDefault(), outlet.focus()) }, T.skip),
    h(
      "header.top",
      {},
      h("a.brand", { href: "#/" }, logo(), h("span", {}, T.product)),
      h("nav", { "aria-label": T.product }, LINKS.map(([link]) => link)),
      h("span.tenant", {}, name && T.tenant(name)),
      button(T.signOut, { kind: "plain", onclick: signOut }),
    ),
    offline,
    outlet,
  );
}

function signOut() {
  signedIn = false;
  setToken("");
  forgetDraft();
  forgetList();
  forgetPreview();
  forgetExamples();
  leave();
  leave = () => {};
  put(outlet);
  enter();
}

async function enter() {
  await signInView(app);
  begin();
}

function begin() {
  signedIn = true;
  frame();
  show();
}

/** @param {boolean} reachable */
function network(reachable) {
  if (offline.hidden === reachable) return;
  put(offline, reachable ? [] : [icon("alert"), h("span", {}, T.offline)]);
  offline.hidden = reachable;
  if (reachable && signedIn) notify(T.online);
}

onTrouble({ renew: () => (signedIn ? renew(signOut) : Promise.resolve(false)), network });
window.addEventListener("hashchange", () => signedIn && show());
window.addEventListener("unhandledrejection", ({ reason }) => notify(reason?.message || T.errors.unexpected, "bad"));
if (await prepare()) begin();
else enter();
