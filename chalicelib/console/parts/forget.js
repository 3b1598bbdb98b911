/** The sign-out of modules: each module that keeps data of the tenant registers a function that forgets them. */

/** @type {(() => void)[]} */
const registered = [];

/** Calls the function when the user signs out. @param {() => void} forget */
export function onSignOut(forget) {
  registered.push(forget);
}

export function forgetAll() {
  for (const forget of registered) forget();
}
