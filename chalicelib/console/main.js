/** Starts the page: signing in, the frame around the views, and which view an address shows. */

import { onTrouble, setToken } from "./parts/api.js";
import { detailsView } from "./views/details.js";
import { notify } from "./parts/dialog.js";
import { button, h, icon, mark, put } from "./parts/dom.js";
import { chooseView, formView, forgetDraft } from "./views/form.js";
import { forgetList, listView } from "./views/list.js";
import { renew, signInView } from "./views/sign_in.js";
import { prepare, tenant } from "./parts/session.js";
import { T } from "./texts.js";

const app = document.getElementById("app");
const outlet = h("main", { id: "content", tabindex: "-1" });
const offline = h("p.offline", { role: "alert", hidden: true });
let signedIn = false;
let leave = () => {};

const ROUTES = [
  [/^\/?$/, () => listView(outlet)],
  [/^\/create$/, () => chooseView(outlet)],
  [/^\/create\/amqp$/, () => formView(outlet)],
  [/^\/connections\/([^/]+)$/, (id) => detailsView(outlet, decodeURIComponent(id))],
];

function show(focus = true) {
  leave();
  leave = () => {};
  const path = location.hash.replace(/^#/, "");
  for (const [pattern, view] of ROUTES) {
    const match = pattern.exec(path);
    if (match) {
      leave = view(...match.slice(1)) || (() => {});
      window.scrollTo(0, 0);
      const heading = outlet.querySelector("h1");
      document.title = [heading?.textContent, T.product].filter(Boolean).join(" – ");
      // A screen reader is told where it is now; the views that begin with a field take the focus themselves.
      if (focus && !outlet.contains(document.activeElement)) outlet.focus({ preventScroll: true });
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
      h("a.brand", { href: "#/" }, mark(), h("span", {}, T.product)),
      h("nav", { "aria-label": T.product }, h("a", { href: "#/" }, T.connections)),
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

function network(up) {
  if (offline.hidden === up) return;
  put(offline, up ? [] : [icon("alert"), h("span", {}, T.offline)]);
  offline.hidden = up;
  if (up && signedIn) notify(T.online);
}

onTrouble({ renew: () => (signedIn ? renew(signOut) : Promise.resolve(false)), network });
window.addEventListener("hashchange", () => signedIn && show());
window.addEventListener("unhandledrejection", (event) => notify(event.reason?.message || T.errors.unexpected, "bad"));
if (await prepare()) begin();
else enter();
