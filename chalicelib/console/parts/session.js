/** The session: the token, its tenant, and the ways to get a token that this server offers. */

import { call, claims, setToken } from "./api.js";
import { readFirst } from "./first_page.js";
import { beginSignIn, finishSignIn, signInBeside } from "./oidc.js";
import { T } from "../texts.js";

/** @type {SignInConfiguration} */
let configuration = { tenantClaim: "", oidc: null };
let trouble = "";

/**
 * Reads how users sign in to this server.
 * Settles with true if the identity provider has just sent the user back with a code that gave a token. After a reload,
 * which ends the session of this page, the provider is asked for a token without asking the user.
 */
export async function prepare() {
  try {
    configuration = (await call("GET", "console/config.json", { renew: false })).json;
  } catch {
    trouble = T.signIn.oidcDown;
  }
  if (!configuration.oidc) return false;
  try {
    const token = await finishSignIn(configuration.oidc);
    if (!token && isReload()) {
      await beginSignIn(configuration.oidc, { silent: true });
      // The browser leaves the page now.
      return await new Promise(() => {});
    }
    if (!token) return false;
    await accept(token);
    return true;
  } catch (error) {
    trouble = T.signIn.oidcFailed(error.message);
    return false;
  }
}

/** Whether the user reloaded the page. A provider that sends the user back begins another navigation. */
function isReload() {
  const [navigation] = performance.getEntriesByType("navigation");
  return navigation instanceof PerformanceNavigationTiming && navigation.type === "reload";
}

export function tenant() {
  const name = claims()[configuration.tenantClaim];
  return typeof name === "string" ? name : "";
}

/** Uses a token from here on; throws a Problem if the server refuses it. @param {string} token */
export async function accept(token) {
  setToken(token);
  await readFirst();
}

/** The identity provider's configuration, or null if users sign in with a token only. */
export const provider = () => configuration.oidc;

/** Signs in at the identity provider in this window, which leaves the page. @param {Oidc} oidc */
export const signInHere = (oidc) => beginSignIn(oidc);

/** Signs in at the identity provider in another window. @param {Oidc} oidc @param {AbortSignal} signal */
export async function signInInWindow(oidc, signal) {
  await accept(await signInBeside(oidc, signal));
}

/** Why the last sign-in at the identity provider failed. It is returned once. */
export function takeTrouble() {
  const text = trouble;
  trouble = "";
  return text;
}
