/** What modules forget when the user signs out: each module that keeps something of the tenant registers a function. */

/** @type {(() => void)[]} */
const registered = [];

/** Calls the function when the user signs out. @param {() => void} forget */
export function onSignOut(forget) {
  registered.push(forget);
}

export function forgetAll() {
  for (const forget of registered) forget();
}
