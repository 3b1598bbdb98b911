/** Signing in: as a view, and as a window above the page when the token has expired. */

import { errorLine, openDialog } from "../parts/dialog.js";
import { button, h, logo, newId, put } from "../parts/dom.js";
import { accept, provider, signInHere, signInInWindow, takeTrouble } from "../parts/session.js";
import { T } from "../texts.js";

/**
 * The fields of both ways to sign in.
 * @param {() => void} done is called after a sign-in with a token
 * @param {(oidc: Oidc, show: (text: string) => void) => void} atProvider starts a sign-in at the identity provider
 */
function tokenForm(done, atProvider) {
  const id = newId("token");
  const error = errorLine();
  const input = h("input", {
    id, type: "password", autocomplete: "off", spellcheck: "false", autofocus: true, required: true,
    "aria-describedby": newId("token-error"),
  });
  error.element.id = input.getAttribute("aria-describedby") ?? "";
  const submit = button(T.signIn.button, { kind: "primary", type: "submit" });
  const show = (/** @type {string} */ text) => {
    error.show(text);
    input.setAttribute("aria-invalid", String(Boolean(text)));
  };
  const sign = async () => {
    const token = input.value.trim().replace(/^bearer\s+/i, "");
    if (!token) {
      show(T.signIn.empty);
      input.focus();
      return;
    }
    submit.disabled = true;
    try {
      await accept(token);
      input.value = "";
      done();
    } catch (problem) {
      show(problem.message);
      input.focus();
    } finally {
      submit.disabled = false;
    }
  };
  error.show(takeTrouble());
  const field = h("div.field", {}, h("div.label", {}, h("label", { for: id }, T.signIn.token)), input, error.element);
  const oidc = provider();
  const sso = oidc && [
    button(T.signIn.sso, { kind: "primary", onclick: () => atProvider(oidc, show) }),
    h("p.or", {}, T.signIn.or),
  ];
  return { sso, field, submit, sign, input };
}

/** Shows the sign-in view; settles when the user has signed in. @param {HTMLElement} place @returns {Promise<void>} */
export function signInView(place) {
  return new Promise((resolve) => {
    const { sso, field, submit, sign, input } = tokenForm(resolve, signInHere);
    const form = h(
      "form.sign-in.panel",
      { novalidate: true, onsubmit: (event) => (event.preventDefault(), sign()) },
      h("p.brand", {}, logo(), h("span", {}, T.product)),
      h("h1", {}, T.signIn.title),
      sso,
      h("p.muted", {}, T.signIn.intro),
      field,
      submit,
    );
    put(place, h("main.sign-in-page", { id: "content" }, form));
    document.title = `${T.signIn.title} – ${T.product}`;
    input.focus();
  });
}

/**
 * Asks for another token in a window above the page.
 * @param {() => void} signOut
 * @returns {Promise<boolean>} whether the user has signed in
 */
export async function renew(signOut) {
  const over = new AbortController();
  const signedIn = await openDialog(
    T.signIn.again,
    (close) => {
      // The provider is opened in another window: leaving this page would lose the values that the user has typed.
      const { sso, field, submit, sign } = tokenForm(() => close(true), async (oidc, show) => {
        show("");
        try {
          await signInInWindow(oidc, over.signal);
          close(true);
        } catch (error) {
          if (!over.signal.aborted) show(T.signIn.oidcFailed(error.message));
        }
      });
      return {
        body: [h("p", {}, T.signIn.againIntro), sso, field],
        onsubmit: sign,
        actions: [button(T.signOut, { onclick: () => (close(), signOut()) }), submit],
      };
    },
    { locked: true },
  );
  over.abort();
  return Boolean(signedIn);
}
