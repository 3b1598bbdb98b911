/** Texts of the frame of the page, of the sign-in and of errors. */

export const frame = {
  product: "IoT Flow",
  connections: "Connections",
  messagesLink: "Messages",
  notifications: "Notifications",
  skip: "Skip to the content",
  tenant: (/** @type {string} */ name) => `Tenant ${name}`,
  signOut: "Sign out",
  loading: "Loading …",
  cancel: "Cancel",
  close: "Close",
  confirm: "Confirm",
  dismiss: "Dismiss",
  none: "—",
  retry: "Try again",
  reload: "Reload the page",
  unloaded: "This view cannot be loaded",
  unloadedText: "The server does not respond, or it has a new release. Reload the page. You must sign in again then.",
  offline: "The server cannot be reached. Your input is kept; the page retries automatically.",
  online: "The server can be reached again.",

  /** Texts of flows and drivers. */
  documents: {
    created: (/** @type {string} */ kind, /** @type {string} */ name) => `The ${kind} “${name}” has been created.`,
    saved: (/** @type {string} */ kind, /** @type {string} */ name) => `The ${kind} “${name}” has been saved.`,
    deleted: (/** @type {string} */ kind, /** @type {string} */ name) => `The ${kind} “${name}” has been deleted.`,
    save: "Save",
    reload: "Load the current values",
  },

  signIn: {
    title: "Sign in",
    intro: "Paste an access token of your identity provider. "
      + "The page keeps it in memory only, so a reload signs you out.",
    token: "Token",
    button: "Sign in",
    sso: "Continue with single sign-on",
    or: "or with a token",
    empty: "Paste a token.",
    again: "Your session has expired",
    againIntro: "Sign in again to continue. Your input is kept.",
    oidcFailed: (/** @type {string} */ reason) => `Single sign-on failed: ${reason}`,
    oidcEnded: "your sign-in there has ended, or it is not renewed without asking you. Sign in again.",
    oidcState: "the response does not belong to this window. Try again.",
    oidcBlocked: "the browser blocked the sign-in window. Allow pop-up windows for this page, or paste a token.",
    oidcDown: "Single sign-on is not available at the moment.",
  },

  errors: {
    network: "The server cannot be reached. Check your network connection and try again.",
    server: (/** @type {string | undefined} */ id) =>
      `The server reported an internal error. Try again in a few seconds.${id ? ` Request ${id}.` : ""}`,
    unauthorized: "The token is not valid.",
    forbidden: "Your token does not permit this action.",
    notFound: (/** @type {string} */ kind) => `This ${kind} does not exist or has been deleted.`,
    changed: (/** @type {string} */ kind) =>
      `This ${kind} was changed in the meantime. Check the current values and confirm again.`,
    signedOut: "You are signed out.",
    missing: "This feature is not available on this server.",
    other: (/** @type {number} */ status) => `The server refused the request (HTTP status ${status}).`,
    unexpected: "An unexpected error occurred in the page. Reload the page and try again.",
  },
};
