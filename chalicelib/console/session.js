/** Signing in: with a token, or at the issuer where there is one for this page. */

import { call, claims, setToken } from "./api.js";
import { errorLine, openDialog } from "./dialog.js";
import { button, h, mark, newId, put } from "./dom.js";
import { readFirst } from "./list.js";
import { beginSignIn, finishSignIn, signInBeside } from "./oidc.js";
import { T } from "./texts.js";

let configuration = { tenantClaim: "", oidc: null };
let trouble = "";

/** Reads what the server says about signing in; settles with a token when the issuer has just sent the user back. */
export async function prepare() {
  try {
    configuration = (await call("GET", "console/config.json", { renew: false })).json;
  } catch {
    trouble = T.signIn.oidcDown;
  }
  if (!configuration.oidc) return false;
  try {
    const token = await finishSignIn(configuration.oidc);
    return token ? await accept(token) : false;
  } catch (error) {
    trouble = T.signIn.oidcFailed(error.message);
    return false;
  }
}

export function tenant() {
  const name = claims()[configuration.tenantClaim];
  return typeof name === "string" ? name : "";
}

async function accept(token) {
  setToken(token);
  await readFirst();
  return true;
}

/**
 * The fields of both ways to sign in; `done` is called after the one with a token.
 * @param {() => void} done @param {(tell: (text: string) => void) => void} atIssuer
 */
function tokenForm(done, atIssuer) {
  const id = newId("token");
  const error = errorLine();
  const input = h("input", {
    id, type: "password", autocomplete: "off", spellcheck: "false", autofocus: true, required: true,
    "aria-describedby": newId("token-error"),
  });
  error.element.id = input.getAttribute("aria-describedby");
  const submit = button(T.signIn.button, { kind: "primary", type: "submit" });
  const tell = (text) => {
    error.tell(text);
    input.setAttribute("aria-invalid", String(Boolean(text)));
  };
  const sign = async () => {
    const token = input.value.trim().replace(/^bearer\s+/i, "");
    if (!token) {
      tell(T.signIn.empty);
      input.focus();
      return;
    }
    submit.disabled = true;
    try {
      await accept(token);
      input.value = "";
      done();
    } catch (problem) {
      tell(problem.message);
      input.focus();
    } finally {
      submit.disabled = false;
    }
  };
  error.tell(trouble);
  trouble = "";
  const field = h("div.field", {}, h("div.label", {}, h("label", { for: id }, T.signIn.token)), input, error.element);
  const sso = configuration.oidc && [
    button(T.signIn.sso, { kind: "primary", onclick: () => atIssuer(tell) }),
    h("p.or", {}, T.signIn.or),
  ];
  return { sso, field, submit, sign, input };
}

/** The page of somebody who is not signed in. Settles when that changed. */
export function signInView(place) {
  return new Promise((resolve) => {
    const { sso, field, submit, sign, input } = tokenForm(resolve, () => beginSignIn(configuration.oidc));
    const form = h(
      "form.sign-in.panel",
      { novalidate: true, onsubmit: (event) => (event.preventDefault(), sign()) },
      h("p.brand", {}, mark(), h("span", {}, T.product)),
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

/** Asks for another token above what is being done. @returns {Promise<boolean>} */
export function renew(signOut) {
  const over = new AbortController();
  return openDialog(
    T.signIn.again,
    (close) => {
      // The issuer gets a window of its own: leaving this page would lose what was typed in it.
      const { sso, field, submit, sign } = tokenForm(() => close(true), async (tell) => {
        tell("");
        try {
          await accept(await signInBeside(configuration.oidc, over.signal));
          close(true);
        } catch (error) {
          if (!over.signal.aborted) tell(T.signIn.oidcFailed(error.message));
        }
      });
      return {
        body: [h("p", {}, T.signIn.againIntro), sso, field],
        onsubmit: sign,
        actions: [button(T.signOut, { onclick: () => (close(), signOut()) }), submit],
      };
    },
    { locked: true },
  ).then((signedIn) => {
    over.abort();
    return Boolean(signedIn);
  });
}
