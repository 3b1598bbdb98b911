/** Calls of the API. Only the memory of this module holds the token. */

import { T } from "../texts.js";

/** The address of the API under any stage: this file is in `console/parts/` below it. */
const BASE = new URL("../../", import.meta.url);
const TIMEOUT = 40_000;

let token = "";
/** @type {Promise<boolean> | null} */
let renewal = null;
/** @type {{renew: () => Promise<boolean>, network: (reachable: boolean) => void}} */
const hooks = { renew: async () => false, network: () => {} };

/**
 * Sets the functions that handle trouble: `renew` asks the user for a new token and settles with whether there is one,
 * `network` is called with whether the server can be reached.
 * @param {typeof hooks} given
 */
export function onTrouble(given) {
  Object.assign(hooks, given);
}

/** @param {string} value */
export function setToken(value) {
  token = value;
}

/** The claims of the token, empty if it is not a JWT. @returns {Record<string, unknown>} */
export function claims() {
  try {
    const middle = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(middle), (c) => c.charCodeAt(0))));
  } catch {
    return {};
  }
}

/** A failed call; `message` is shown to the user. */
export class Problem extends Error {
  /**
   * @param {string} message
   * @param {{status?: number, errors?: Fault[], missing?: boolean}} [more]
   */
  constructor(message, { status = 0, errors = [], missing = false } = {}) {
    super(message);
    this.status = status;
    this.errors = errors;
    /** Whether the server does not have this route. */
    this.missing = missing;
  }
}

/**
 * @param {string} method
 * @param {string} path below the API, or an absolute path as in a `Link` header
 * @param {CallOptions} [options]
 * @returns {Promise<Answer>}
 */
export async function call(method, path, options = {}) {
  const used = token;
  const response = await send(method, path, options);
  if (response.status === 401 && options.renew !== false) {
    // The server can refuse several calls at once: the user is asked once for all of them.
    if (token === used) {
      renewal ??= hooks.renew().finally(() => (renewal = null));
      if (!(await renewal)) throw new Problem(T.errors.signedOut, { status: 401 });
    }
    return call(method, path, { ...options, renew: false });
  }
  if (response.ok) {
    const text = response.status === 204 ? "" : await response.text();
    return { json: text ? JSON.parse(text) : null, headers: response.headers, status: response.status };
  }
  throw await problemOf(response, /^(flow|driver)s/.exec(path)?.[1] ?? "connection");
}

/** @param {string} method @param {string} path @param {CallOptions} options */
async function send(method, path, { body, headers = {}, signal }) {
  /** @type {Record<string, string>} */
  const all = { Authorization: `Bearer ${token}`, Accept: "application/json", ...headers };
  if (body !== undefined) all["Content-Type"] ??= "application/json";
  const limit = AbortSignal.timeout(TIMEOUT);
  try {
    const response = await fetch(new URL(path, BASE), {
      method,
      headers: all,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      cache: "no-store",
    });
    hooks.network(true);
    return response;
  } catch (error) {
    if (signal?.aborted) throw error;
    hooks.network(false);
    throw new Problem(T.errors.network);
  }
}

/** @param {Response} response @param {string} kind of the document */
async function problemOf(response, kind) {
  const { status } = response;
  const ours = (response.headers.get("Content-Type") || "").includes("application/problem+json");
  /** @type {any} */
  let document = {};
  try {
    document = await response.json();
  } catch {
    // The body is the page of a gateway, or empty: the status is enough.
  }
  const missing = !ours && [403, 404, 405].includes(status);
  return new Problem(sentence(status, ours ? document : {}, missing, kind), {
    status,
    missing,
    errors: Array.isArray(document.errors) ? document.errors : [],
  });
}

/** @type {Record<number, (kind: string) => string>} */
const SENTENCES = {
  401: () => T.errors.unauthorized,
  403: () => T.errors.forbidden,
  404: T.errors.notFound,
  412: T.errors.changed,
};

/**
 * @param {number} status @param {{detail?: string, requestId?: string}} document @param {boolean} missing
 * @param {string} kind
 */
function sentence(status, document, missing, kind) {
  if (missing) return T.errors.missing;
  if (status >= 500) return T.errors.server(document.requestId);
  const known = SENTENCES[status]?.(kind);
  const detail = document.detail ? asSentence(document.detail) : "";
  if (known) return [known, status === 403 || status === 401 ? detail : ""].filter(Boolean).join(" ");
  return detail || T.errors.other(status);
}

/** @param {string} text */
function asSentence(text) {
  const capitalised = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capitalised) ? capitalised : `${capitalised}.`;
}

/** The path of the next page in a `Link` header, or null. @param {Headers} headers */
export function nextPage(headers) {
  const match = /<([^>]+)>\s*;\s*rel="?next"?/.exec(headers.get("Link") || "");
  return match ? match[1] : null;
}

/** All elements of a list, page by page. @param {string} path @returns {Promise<any[]>} */
export async function getAll(path) {
  const all = [];
  for (let next = /** @type {string | null} */ (path); next; ) {
    const { json, headers } = await get(next);
    all.push(...json);
    next = nextPage(headers);
  }
  return all;
}

/** @param {string} path @param {CallOptions} [options] */
export const get = (path, options) => call("GET", path, options);

/** @param {string} path @param {unknown} [body] @param {CallOptions} [options] */
export const post = (path, body, options) => call("POST", path, { ...options, body });

/** @param {string} path @param {CallOptions} [options] */
export const remove = (path, options) => call("DELETE", path, options);

/**
 * Changes a connection, if its version on the server is still the one given.
 * @param {Connection} connection @param {ConnectionChange} change
 */
export function patch(connection, change) {
  const headers = { "If-Match": `"${connection.version}"`, "Content-Type": "application/merge-patch+json" };
  return call("PATCH", `connections/${encodeURIComponent(connection.id)}`, { body: change, headers });
}
