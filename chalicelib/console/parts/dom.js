/** Creates all elements of the page, from text: nothing that comes from the API is parsed as HTML. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Creates an element: `h("a.button", { href: "#/" }, "Connections")`.
 * Attributes that are null, undefined or false are left out. Functions are listeners (`onclick`).
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K | `${K}.${string}`} kind tag and classes
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(kind, attributes = {}, ...children) {
  const [tag, ...classes] = kind.split(".");
  return fill(document.createElement(/** @type {K} */ (tag)), classes, attributes, children);
}

/**
 * Creates an SVG element, as `h` does for HTML.
 * @template {keyof SVGElementTagNameMap} K
 * @param {K | `${K}.${string}`} kind
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function s(kind, attributes = {}, ...children) {
  const [tag, ...classes] = kind.split(".");
  return fill(document.createElementNS(SVG, /** @type {K} */ (tag)), classes, attributes, children);
}

/**
 * @template {Element} E
 * @param {E} element @param {string[]} classes @param {Attributes} attributes @param {Child[]} children
 */
function fill(element, classes, attributes, children) {
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  element.append(...flat(children));
  return element;
}

/** @param {Child[]} children @returns {(Node | string)[]} */
function flat(children) {
  return children.flatMap((child) => {
    if (Array.isArray(child)) return flat(child);
    if (child === null || child === undefined || child === false) return [];
    return [child instanceof Node ? child : String(child)];
  });
}

/** Replaces the children of an element. @param {Element} element @param {...Child} children */
export function put(element, ...children) {
  element.replaceChildren(...flat(children));
}

/** The element of index.html with this id. @param {string} id @returns {HTMLElement} */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no element #${id}`);
  return found;
}

let number = 0;

/** An id that no other element has. @param {string} prefix */
export function newId(prefix) {
  number += 1;
  return `${prefix}-${number}`;
}

const PATHS = {
  alert: "M12 8v5m0 3.5v.1M10.3 4 2.6 17.5A2 2 0 0 0 4.3 20.5h15.4a2 2 0 0 0 1.7-3L13.7 4a2 2 0 0 0-3.4 0Z",
  check: "m5 12.5 4.5 4.5L19 7.5",
  close: "M6 6l12 12M18 6 6 18",
  code: "m8 7-5 5 5 5M16 7l5 5-5 5",
  copy: "M9 9h10v11H9zM15 9V4H5v11h4",
  down: "m6 9 6 6 6-6",
  edit: "M4 20h4L19 9l-4-4L4 16v4Zm9-13 4 4",
  info: "M12 11v5.5m0-8.6v.1M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0Z",
  keyboard: "M3 6h18v12H3zM7 10h.1M11 10h.1M15 10h.1M8 14h8",
  left: "m14 6-6 6 6 6",
  right: "m10 6 6 6-6 6",
  broker: "M4 7h16v4H4zM4 13h16v4H4zM7 9h.1M7 15h.1",
};

/** An icon, hidden from screen readers. @param {keyof typeof PATHS} name */
export function icon(name, size = 18) {
  const path = s("path", { d: PATHS[name], fill: "none" });
  return s(`svg.icon.icon-${name}`, { viewBox: "0 0 24 24", width: size, height: size, "aria-hidden": "true" }, path);
}

/** The logo of the product. */
export function logo() {
  return s(
    "svg",
    { viewBox: "0 0 24 24", width: 24, height: 24, "aria-hidden": "true" },
    s("rect.mark", { width: 24, height: 24, rx: 6 }),
    s("path.mark-line", { d: "M5 15.5c3.5 0 3.5-7 7-7s3.5 7 7 7", fill: "none" }),
    s("circle.mark-dot", { cx: 12, cy: 8.5, r: 2 }),
  );
}

/** Text for screen readers only. @param {string} text */
export function spoken(text) {
  return h("span.spoken", {}, text);
}

/** A link back to the view above. @param {string} href @param {string} text */
export function crumb(href, text) {
  return h("a.crumb", { href }, icon("left", 16), text);
}

/**
 * A button. Without `quiet` it shows its text; with it, screen readers only read the text.
 * @param {string} text
 * @param {Attributes & {icon?: keyof typeof PATHS, quiet?: boolean, kind?: string}} [options]
 */
export function button(text, options = {}) {
  const { icon: sign, quiet, kind = "", ...attributes } = options;
  const label = quiet ? spoken(text) : h("span", {}, text);
  const names = ["button", ...kind.split(" "), quiet ? "icon-only" : ""].filter(Boolean);
  const title = quiet ? { title: text } : {};
  return h(`button.${names.join(".")}`, { type: "button", ...title, ...attributes }, sign && icon(sign), label);
}

/** Refreshes that have started and not ended. @type {Set<Promise<unknown>>} */
const pending = new Set();

/**
 * Calls `action` repeatedly until the element leaves the document or the returned function is called.
 * It skips calls while the page is hidden.
 * @param {() => number} seconds @param {Element} element @param {() => Promise<unknown>} action
 */
export function every(seconds, element, action) {
  let timer = 0;
  let stopped = false;
  const run = async () => {
    if (stopped || !element.isConnected) return;
    if (!document.hidden && !element.closest("[aria-busy]")) {
      const refresh = action();
      pending.add(refresh);
      await refresh.finally(() => pending.delete(refresh));
    }
    timer = window.setTimeout(run, seconds() * 1000);
  };
  timer = window.setTimeout(run, seconds() * 1000);
  return () => {
    stopped = true;
    window.clearTimeout(timer);
  };
}

/**
 * Removes what the element shows. Refreshes inside the element wait meanwhile, because they would read a connection
 * that is half deleted.
 * @param {Element} element @param {() => Promise<unknown>} action
 */
export async function whileRemoving(element, action) {
  element.setAttribute("aria-busy", "true");
  await Promise.allSettled(pending);
  try {
    await action();
  } catch (error) {
    element.removeAttribute("aria-busy");
    throw error;
  }
}
