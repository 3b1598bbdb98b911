/** Starts the page: sign-in, the frame around the views, and the view of each address. */

import { onTrouble, setToken } from "./parts/api.js";
import { notify } from "./parts/dialog.js";
import { button, byId, h, icon, logo, put } from "./parts/dom.js";
import { forgetAll } from "./parts/forget.js";
import { listenForKeys, showKeys } from "./parts/keys.js";
import { pathOf } from "./parts/query.js";
import { prepare, tenant } from "./parts/session.js";
import { overviewView } from "./overview/view.js";
import { listView } from "./views/list.js";
import { renew, signInView } from "./views/sign_in.js";
import { T } from "./texts.js";

const app = byId("app");
const outlet = h("main", { id: "content", tabindex: "-1" });
const offline = h("p.offline", { role: "alert", hidden: true });
/** The links of the navigation, with the addresses that each stands for. @type {[HTMLElement, RegExp][]} */
const LINKS = [
  [h("a", { href: "#/" }, T.overview.title), /^\/?$/],
  [h("a", { href: "#/connections" }, T.connections), /^\/(create|connections|configuration)/],
  [h("a", { href: "#/messages" }, T.messagesLink), /^\/messages/],
  [h("a", { href: "#/flows" }, T.flows.title), /^\/flows/],
  [h("a", { href: "#/drivers" }, T.drivers.title), /^\/drivers/],
  [h("a", { href: "#/notifications" }, T.notifications), /^\/notifications$/],
];
let signedIn = false;
let leave = () => {};
/** The number of addresses that the user has opened. */
let opened = 0;

/** @typedef {void | (() => void)} Leave */

/**
 * The view of each address. Only those that a first visit shows are loaded with the page.
 * @type {[RegExp, (...groups: string[]) => Leave | Promise<() => Leave>][]}
 */
const ROUTES = [
  [/^\/?$/, () => overviewView(outlet)],
  [/^\/connections$/, () => listView(outlet)],
  [/^\/create$/, async () => {
    const { chooseView } = await import("./views/choose.js");
    return () => chooseView(outlet);
  }],
  [/^\/create\/amqp$/, async () => {
    const { formView } = await import("./views/form.js");
    return () => formView(outlet);
  }],
  [/^\/connections\/([^/]+)$/, async (id) => {
    const { detailsView } = await import("./views/details.js");
    return () => detailsView(outlet, decodeURIComponent(id));
  }],
  [/^\/configuration$/, async () => {
    const { importView } = await import("./overview/import.js");
    return () => importView(outlet);
  }],
  [/^\/drivers$/, async () => {
    const { driversView } = await import("./drivers/list.js");
    return () => driversView(outlet);
  }],
  [/^\/drivers\/(.+)$/, async (id) => {
    const { driverView } = await import("./drivers/form.js");
    return () => driverView(outlet, id === "create" ? undefined : decodeURIComponent(id));
  }],
  [/^\/flows$/, async () => {
    const { flowsView } = await import("./flows/list.js");
    return () => flowsView(outlet);
  }],
  [/^\/flows\/([^/]+)$/, async (id) => {
    const { flowView } = await import("./flows/form.js");
    return () => flowView(outlet, id === "create" ? undefined : decodeURIComponent(id));
  }],
  [/^\/messages$/, async () => {
    const { loadMessages } = await import("./messages/view.js");
    const start = await loadMessages(location.hash.split("?")[1] ?? "");
    return () => start(outlet);
  }],
  [/^\/notifications$/, async () => {
    const { notificationsView } = await import("./notifications/view.js");
    return () => notificationsView(outlet);
  }],
];

/** Shows the view of the address. */
async function show() {
  leave();
  leave = () => {};
  opened += 1;
  const mine = opened;
  const path = pathOf();
  for (const [link, pattern] of LINKS) {
    if (pattern.test(path)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  for (const [pattern, view] of ROUTES) {
    const match = pattern.exec(path);
    if (!match) continue;
    try {
      let left = view(...match.slice(1));
      if (left instanceof Promise) {
        put(outlet, h("p.muted", {}, h("span.spinner", { "aria-hidden": "true" }), T.loading));
        const start = await left;
        if (mine !== opened || !signedIn) return;
        left = start();
      }
      leave = left || (() => {});
    } catch {
      if (mine === opened) put(outlet, unloaded());
    }
    announce();
    return;
  }
  location.replace("#/");
}

function announce() {
  window.scrollTo(0, 0);
  const heading = outlet.querySelector("h1");
  document.title = [heading?.textContent, T.product].filter(Boolean).join(" – ");
  // The focus lets a screen reader announce the view. Views that begin with a field have set it already.
  if (!outlet.contains(document.activeElement)) outlet.focus({ preventScroll: true });
}

/** A view whose files cannot be loaded. A browser keeps the failure of an import, so only a reload helps. */
function unloaded() {
  const again = button(T.reload, { onclick: () => location.reload() });
  return [h("h1", { tabindex: "-1" }, T.unloaded), h("p.muted", {}, T.unloadedText), again];
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
      button(T.keys.open, { icon: "keyboard", quiet: true, kind: "plain keys-button", onclick: showKeys }),
      button(T.signOut, { kind: "plain", onclick: signOut }),
    ),
    offline,
    outlet,
  );
}

function signOut() {
  signedIn = false;
  setToken("");
  forgetAll();
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
listenForKeys(() => signedIn);
window.addEventListener("hashchange", () => signedIn && show());
window.addEventListener("unhandledrejection", ({ reason }) => notify(reason?.message || T.errors.unexpected, "bad"));
if (await prepare()) begin();
else enter();
