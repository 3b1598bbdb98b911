/** Calls of the API. The token is in this module's memory and nowhere else. */

import { T } from "../texts.js";

/** Where the API is: this file is in `console/parts/` below it, whatever the stage. */
const BASE = new URL("../../", import.meta.url);
const TIMEOUT = 40_000;

let token = "";
let renewal = null;
const hooks = { renew: async () => false, network: (_up) => {} };

/** `renew` asks for a new token when one expired; `network` hears whether the server can be reached. */
export function onTrouble({ renew, network }) {
  Object.assign(hooks, { renew, network });
}

export function setToken(value) {
  token = value;
}

export function claims() {
  try {
    const middle = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(middle), (c) => c.charCodeAt(0))));
  } catch {
    return {};
  }
}

/** An answer that is none, or not the one that was hoped for; `message` is for the user. */
export class Problem extends Error {
  constructor(message, { status = 0, errors = [], missing = false } = {}) {
    super(message);
    this.status = status;
    /** @type {{pointer: string, detail: string}[]} */
    this.errors = errors;
    /** The server does not have this part (yet). */
    this.missing = missing;
  }
}

/**
 * @param {string} method
 * @param {string} path below the API, or an absolute path as `Link` has it
 * @param {{body?: unknown, headers?: Record<string, string>, renew?: boolean, signal?: AbortSignal}} [options]
 * @returns {Promise<{json: any, headers: Headers, status: number}>}
 */
export async function call(method, path, options = {}) {
  const used = token;
  const response = await send(method, path, options);
  if (response.status === 401 && options.renew !== false) {
    // Several calls can be refused at once: one question for all of them.
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
  throw await problemOf(response);
}

async function send(method, path, { body, headers = {}, signal }) {
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

async function problemOf(response) {
  const { status } = response;
  const ours = (response.headers.get("Content-Type") || "").includes("application/problem+json");
  let document = {};
  try {
    document = await response.json();
  } catch {
    // A gateway's page or nothing at all: the status says enough.
  }
  const missing = !ours && [403, 404, 405].includes(status);
  return new Problem(sentence(status, ours ? document : {}, missing), {
    status,
    missing,
    errors: Array.isArray(document.errors) ? document.errors : [],
  });
}

function sentence(status, document, missing) {
  if (missing) return T.errors.missing;
  if (status >= 500) return T.errors.server(document.requestId);
  const known = { 401: T.errors.unauthorized, 403: T.errors.forbidden, 404: T.errors.notFound, 412: T.errors.changed };
  const told = known[status];
  const detail = document.detail ? capital(document.detail) : "";
  if (told) return [told, status === 403 || status === 401 ? detail : ""].filter(Boolean).join(" ");
  return detail || T.errors.other(status);
}

function capital(text) {
  const sentenceText = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(sentenceText) ? sentenceText : `${sentenceText}.`;
}

/** The path of the next page in a `Link` header, or null. */
export function nextPage(headers) {
  const match = /<([^>]+)>\s*;\s*rel="?next"?/.exec(headers.get("Link") || "");
  return match ? match[1] : null;
}

export const get = (path, options) => call("GET", path, options);
export const post = (path, body, options) => call("POST", path, { ...options, body });
export const remove = (path, options) => call("DELETE", path, options);

/** Changes a connection that is still at `version`. */
export function patch(connection, change) {
  const headers = { "If-Match": `"${connection.version}"`, "Content-Type": "application/merge-patch+json" };
  return call("PATCH", `connections/${encodeURIComponent(connection.id)}`, { body: change, headers });
}
