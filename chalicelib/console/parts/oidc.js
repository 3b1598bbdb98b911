/**
 * Sign-in at the identity provider: authorization code with PKCE (RFC 7636). A sign-in in this window keeps state and
 * verifier in sessionStorage until the provider sends the user back; a sign-in in another window keeps them in memory.
 */

import { T } from "../texts.js";

const KEY = "iot-flow-sign-in";

/** @param {Uint8Array} bytes */
const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));
const ownAddress = () => location.origin + location.pathname;
/**
 * State and verifier. The state also carries the view, which the provider sends back with it.
 * @returns {SignInSecrets}
 */
const newSecrets = () => ({
  state: `${random()}.${base64url(new TextEncoder().encode(location.hash))}`, verifier: random(),
});

/** The address of the view in a state. @param {string} state */
function viewOf(state) {
  const text = state.split(".")[1] ?? "";
  const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (each) => each.charCodeAt(0));
  return new TextDecoder().decode(bytes);
}

/** @param {Oidc} oidc @param {SignInSecrets} secrets @param {Record<string, string>} more */
async function authorizationAddress(oidc, secrets, more = {}) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(secrets.verifier));
  const address = new URL(oidc.authorizationEndpoint);
  const query = {
    response_type: "code",
    client_id: oidc.clientId,
    redirect_uri: ownAddress(),
    scope: oidc.scope,
    state: secrets.state,
    code_challenge: base64url(new Uint8Array(digest)),
    code_challenge_method: "S256",
    ...more,
  };
  for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
  return address;
}

/**
 * Leaves the page for the provider. With `silent`, the provider must not ask the user: it sends the user back with a
 * code if the user is signed in there, otherwise with an error.
 * @param {Oidc} oidc @param {{silent?: boolean}} [options]
 */
export async function beginSignIn(oidc, { silent = false } = {}) {
  const secrets = newSecrets();
  sessionStorage.setItem(KEY, JSON.stringify(secrets));
  location.replace(await authorizationAddress(oidc, secrets, silent ? { prompt: "none" } : {}));
}

/** Errors of a provider that would have to ask the user. */
const ASKING = ["login_required", "interaction_required", "consent_required", "account_selection_required"];

/**
 * The token, if the provider has just sent the user back; otherwise null. Throws the reason of a refusal.
 * @param {Oidc} oidc
 * @returns {Promise<string | null>}
 */
export async function finishSignIn(oidc) {
  const query = new URLSearchParams(location.search);
  if (!query.has("code") && !query.has("error")) return null;
  const secrets = JSON.parse(sessionStorage.getItem(KEY) || "{}");
  sessionStorage.removeItem(KEY);
  const own = secrets.state && query.get("state") === secrets.state;
  history.replaceState(null, "", location.pathname + (own ? viewOf(secrets.state) : location.hash));
  if (own && ASKING.includes(query.get("error") ?? "")) throw new Error(T.signIn.oidcEnded);
  if (own) return exchange(oidc, query, secrets);
  // This may be the window of signInBeside: the opening window knows the state. If this window was opened by a forged
  // link, the browser does not close it, and it shows the error.
  new BroadcastChannel(KEY).postMessage(query.toString());
  window.close();
  throw new Error(T.signIn.oidcState);
}

/**
 * Signs in in another window, so that the values typed in this one are kept. Call it from a click: browsers block
 * other windows. Settles with the token; throws the reason of a failure.
 * @param {Oidc} oidc
 * @param {AbortSignal} signal cancels the sign-in
 * @returns {Promise<string>}
 */
export async function signInBeside(oidc, signal) {
  const beside = window.open("", KEY, "popup,width=480,height=640");
  if (!beside) throw new Error(T.signIn.oidcBlocked);
  const secrets = newSecrets();
  const channel = new BroadcastChannel(KEY);
  try {
    /** @type {Promise<URLSearchParams>} */
    const answer = new Promise((resolve, reject) => {
      channel.onmessage = ({ data }) => {
        const query = new URLSearchParams(data);
        if (query.get("state") === secrets.state) resolve(query);
      };
      signal.addEventListener("abort", () => reject(signal.reason));
    });
    beside.location.replace(await authorizationAddress(oidc, secrets));
    return await exchange(oidc, await answer, secrets);
  } finally {
    channel.close();
    beside.close();
  }
}

/** @param {Oidc} oidc @param {URLSearchParams} query @param {SignInSecrets} secrets @returns {Promise<string>} */
async function exchange(oidc, query, secrets) {
  const refusal = query.get("error");
  if (refusal) throw new Error(query.get("error_description") || refusal);
  const answer = await fetch(oidc.tokenEndpoint, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "authorization_code",
      client_id: oidc.clientId,
      code: query.get("code") ?? "",
      redirect_uri: ownAddress(),
      code_verifier: secrets.verifier,
    }),
  });
  const document = await answer.json().catch(() => ({}));
  if (answer.ok && document.access_token) return document.access_token;
  throw new Error(document.error_description || document.error || String(answer.status));
}
