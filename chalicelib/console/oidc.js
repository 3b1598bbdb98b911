/** Authorization code with PKCE (RFC 7636). Only state and verifier pass through sessionStorage, and only once. */

import { T } from "./texts.js";

const KEPT = "iot-flow-sign-in";

const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));
const ownAddress = () => location.origin + location.pathname;

/** Leaves for the issuer. @param {{clientId: string, scope: string, authorizationEndpoint: string}} oidc */
export async function beginSignIn(oidc) {
  const kept = { state: random(), verifier: random() };
  sessionStorage.setItem(KEPT, JSON.stringify(kept));
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
  location.assign(address);
}

/** The token, when the issuer has just sent the user back; else null. Throws with the reason where it refused. */
export async function finishSignIn(oidc) {
  const query = new URLSearchParams(location.search);
  if (!query.has("code") && !query.has("error")) return null;
  const kept = JSON.parse(sessionStorage.getItem(KEPT) || "{}");
  sessionStorage.removeItem(KEPT);
  history.replaceState(null, "", location.pathname + location.hash);
  if (!kept.state || query.get("state") !== kept.state) throw new Error(T.signIn.oidcState);
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
