/** Elements are made here only, from text: nothing that comes from the API is ever parsed as HTML. */

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Node | string | number | null | undefined | false | Child[]} Child */

/**
 * An element: `h("a.button", {href: "#/"}, "Connections")`.
 * Attributes that are null, undefined or false are left out; functions are listeners (`onclick`).
 * @param {string} kind tag and classes
 * @param {Record<string, unknown>} [attributes]
 * @param {...Child} children
 * @returns {HTMLElement}
 */
export function h(kind, attributes = {}, ...children) {
  const [tag, ...classes] = kind.split(".");
  const element = document.createElement(tag);
  return /** @type {HTMLElement} */ (fill(element, classes, attributes, children));
}

/** The same for SVG. @returns {SVGElement} */
export function s(kind, attributes = {}, ...children) {
  const [tag, ...classes] = kind.split(".");
  const element = document.createElementNS(SVG, tag);
  return /** @type {SVGElement} */ (fill(element, classes, attributes, children));
}

function fill(element, classes, attributes, children) {
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  element.append(...flat(children));
  return element;
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Puts other children into an element. */
export function put(element, ...children) {
  element.replaceChildren(...flat(children));
  return element;
}

let number = 0;

/** An id that no other element has. */
export function newId(prefix) {
  number += 1;
  return `${prefix}-${number}`;
}

const PATHS = {
  alert: "M12 8v5m0 3.5v.1M10.3 4 2.6 17.5A2 2 0 0 0 4.3 20.5h15.4a2 2 0 0 0 1.7-3L13.7 4a2 2 0 0 0-3.4 0Z",
  check: "m5 12.5 4.5 4.5L19 7.5",
  close: "M6 6l12 12M18 6 6 18",
  copy: "M9 9h10v11H9zM15 9V4H5v11h4",
  down: "m6 9 6 6 6-6",
  edit: "M4 20h4L19 9l-4-4L4 16v4Zm9-13 4 4",
  info: "M12 11v5.5m0-8.6v.1M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0Z",
  left: "m14 6-6 6 6 6",
  right: "m10 6 6 6-6 6",
  broker: "M4 7h16v4H4zM4 13h16v4H4zM7 9h.1M7 15h.1",
};

/** A drawn sign, which a screen reader passes over. */
export function icon(name, size = 18) {
  const path = s("path", { d: PATHS[name], fill: "none" });
  return s(`svg.icon.icon-${name}`, { viewBox: "0 0 24 24", width: size, height: size, "aria-hidden": "true" }, path);
}

/** The sign of the product. */
export function mark() {
  return s(
    "svg",
    { viewBox: "0 0 24 24", width: 24, height: 24, "aria-hidden": "true" },
    s("rect.mark", { width: 24, height: 24, rx: 6 }),
    s("path.mark-line", { d: "M5 15.5c3.5 0 3.5-7 7-7s3.5 7 7 7", fill: "none" }),
    s("circle.mark-dot", { cx: 12, cy: 8.5, r: 2 }),
  );
}

/** Text for screen readers only. */
export function spoken(text) {
  return h("span.spoken", {}, text);
}

/** A button; `options.icon` before its text, `options.quiet` for its text to be spoken only. */
export function button(text, options = {}) {
  const { icon: sign, quiet, kind = "", ...attributes } = options;
  const label = quiet ? spoken(text) : h("span", {}, text);
  const classes = [...kind.split(" "), quiet ? "icon-only" : ""].filter(Boolean).map((name) => `.${name}`).join("");
  const title = quiet ? { title: text } : {};
  return h(`button.button${classes}`, { type: "button", ...title, ...attributes }, sign && icon(sign), label);
}

/** Refreshes that were begun and have not ended. */
const underWay = new Set();

/** Calls `action` until the element left the document or `stop` was called; a hidden page waits. */
export function every(seconds, element, action) {
  let timer = 0;
  let stopped = false;
  const run = async () => {
    if (stopped || !element.isConnected) return;
    if (!document.hidden && !element.closest("[aria-busy]")) {
      const refresh = action();
      underWay.add(refresh);
      await refresh.finally(() => underWay.delete(refresh));
    }
    timer = window.setTimeout(run, seconds() * 1000);
  };
  timer = window.setTimeout(run, seconds() * 1000);
  return () => {
    stopped = true;
    window.clearTimeout(timer);
  };
}

/** Does what takes away what the element shows: no refresh below it meets that halfway, unless it fails. */
export async function takingAway(element, action) {
  element.setAttribute("aria-busy", "true");
  await Promise.allSettled(underWay);
  try {
    await action();
  } catch (error) {
    element.removeAttribute("aria-busy");
    throw error;
  }
}
