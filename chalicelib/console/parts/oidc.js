/**
 * Authorization code with PKCE (RFC 7636). Only state and verifier pass through sessionStorage, and only once; a sign-in
 * beside what is being done keeps even those in memory.
 */

import { T } from "../texts.js";

const KEPT = "iot-flow-sign-in";

/** @typedef {{clientId: string, scope: string, authorizationEndpoint: string, tokenEndpoint: string}} Oidc */

const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));
const ownAddress = () => location.origin + location.pathname;
const drawn = () => ({ state: random(), verifier: random() });

async function issuersAddress(oidc, kept) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(kept.verifier));
  const address = new URL(oidc.authorizationEndpoint);
  const query = {
    response_type: "code",
    client_id: oidc.clientId,
    redirect_uri: ownAddress(),
    scope: oidc.scope,
    state: kept.state,
    code_challenge: base64url(new Uint8Array(digest)),
    code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
  return address;
}

/** Leaves for the issuer. @param {Oidc} oidc */
export async function beginSignIn(oidc) {
  const kept = drawn();
  sessionStorage.setItem(KEPT, JSON.stringify(kept));
  location.assign(await issuersAddress(oidc, kept));
}

/** The token, when the issuer has just sent the user back; else null. Throws with the reason where it refused. */
export async function finishSignIn(oidc) {
  const query = new URLSearchParams(location.search);
  if (!query.has("code") && !query.has("error")) return null;
  const kept = JSON.parse(sessionStorage.getItem(KEPT) || "{}");
  sessionStorage.removeItem(KEPT);
  history.replaceState(null, "", location.pathname + location.hash);
  if (kept.state && query.get("state") === kept.state) return exchange(oidc, query, kept);
  // The window that asked for this one knows the state; a window that nobody asked for stays, and says so.
  new BroadcastChannel(KEPT).postMessage(query.toString());
  window.close();
  throw new Error(T.signIn.oidcState);
}

/**
 * Signs in in a window of its own, so that what was typed in this one stays. Call it from a click, for the browser
 * lets no other window open. Settles with the token; throws with the reason where there is none.
 * @param {Oidc} oidc
 * @param {AbortSignal} signal gives up
 */
export async function signInBeside(oidc, signal) {
  const beside = window.open("", KEPT, "popup,width=480,height=640");
  if (!beside) throw new Error(T.signIn.oidcBlocked);
  const kept = drawn();
  const channel = new BroadcastChannel(KEPT);
  try {
    const answer = new Promise((resolve, reject) => {
      channel.onmessage = ({ data }) => {
        const query = new URLSearchParams(data);
        if (query.get("state") === kept.state) resolve(query);
      };
      signal.addEventListener("abort", () => reject(signal.reason));
    });
    beside.location.replace(await issuersAddress(oidc, kept));
    return await exchange(oidc, await answer, kept);
  } finally {
    channel.close();
    beside.close();
  }
}

async function exchange(oidc, query, kept) {
  if (query.has("error")) throw new Error(query.get("error_description") || query.get("error"));
  const answer = await fetch(oidc.tokenEndpoint, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "authorization_code",
      client_id: oidc.clientId,
      code: query.get("code"),
      redirect_uri: ownAddress(),
      code_verifier: kept.verifier,
    }),
  });
  const document = await answer.json().catch(() => ({}));
  if (!answer.ok || !document.access_token) throw new Error(document.error_description || document.error || String(answer.status));
  return document.access_token;
}
