/** The conditions of a flow: cards with the tags or the devices of each matcher. */

import { button, h, put } from "../parts/dom.js";
import { chipField } from "./chips.js";
import { device, deviceFault, devicesOf } from "./model.js";
import { T } from "../texts.js";

/** @typedef {"thing" | "key"} Kind */
/** @typedef {ReturnType<typeof card>} Card */

const KINDS = {
  thing: {
    label: T.flows.tags, hint: T.flows.tagsHint, separator: /[\r\n]+/,
    clean: (/** @type {string} */ typed) => typed.trim(),
    check: (/** @type {string} */ value) => (value.length > 255 ? T.flows.tagWrong : ""),
  },
  key: {
    label: T.flows.keys, hint: T.flows.keysHint, separator: /[\s,;]+/, mono: true, clean: device, check: deviceFault,
  },
};

/** @param {Matcher[]} matchers */
export function matchersEditor(matchers) {
  /** @type {Card[]} */
  let cards = [];
  /** @type {string[]} */
  let suggested = [];
  const list = h("div.conditions", {});
  const adders = [
    button(T.flows.addTags, { kind: "small", onclick: () => add("thing").chips.focus() }),
    button(T.flows.addDevices, { kind: "small", onclick: () => add("key").chips.focus() }),
  ];
  const element = h("div.field", {}, list, h("div.actions", {}, adders));

  /** @param {Kind} kind @param {string[]} [values] */
  function add(kind, values = []) {
    const made = card(kind, values, () => {
      cards = cards.filter((each) => each !== made);
      arrange();
      adders[0].focus();
    });
    if (kind === "thing") made.chips.suggest(suggested);
    cards.push(made);
    arrange();
    return made;
  }

  function arrange() {
    put(list, cards.map(({ element: each }, n) => [n > 0 && h("p.muted.or", {}, T.flows.or), each]));
    cards.forEach((each, n) => each.number(n + 1));
  }

  for (const each of matchers) add(each.type, each.tags || devicesOf(each));
  return {
    element,
    /** @returns {Matcher[]} */
    value: () => cards.map(({ kind, chips }) => matcherOf(kind, chips.values())),
    /** Shows the errors, and moves the focus to the first. Returns whether all values are good. */
    check() {
      const wrong = cards.filter(({ chips }) => !chips.check());
      wrong[0]?.chips.focus();
      return wrong.length === 0;
    },
    /**
     * Shows an error of the API at its condition; returns whether it has one.
     * @param {string} pointer @param {string} detail
     */
    refuse(pointer, detail) {
      const found = cards[Number(/^\/matchers\/(\d+)/.exec(pointer)?.[1] ?? -1)];
      found?.chips.setError(detail);
      return Boolean(found);
    },
    /** @param {string[]} tags */
    suggest(tags) {
      suggested = tags;
      for (const { kind, chips } of cards) if (kind === "thing") chips.suggest(tags);
    },
  };
}

/** @param {Kind} kind @param {string[]} values @param {() => void} remove */
function card(kind, values, remove) {
  const chips = chipField({ ...KINDS[kind], values, empty: T.flows.conditionEmpty });
  const title = h("span.muted.small", {});
  const cross = button(T.flows.removeCondition(0), { icon: "close", quiet: true, kind: "plain", onclick: remove });
  const element = h("div.condition-card", { role: "group" }, h("div.title-row", {}, title, cross), chips.element);
  /** @param {number} n */
  function number(n) {
    title.textContent = T.flows.condition(n);
    element.setAttribute("aria-label", T.flows.condition(n));
    cross.title = T.flows.removeCondition(n);
    put(/** @type {Element} */ (cross.lastElementChild), T.flows.removeCondition(n));
  }
  return { kind, chips, element, number };
}

/** @param {Kind} type @param {string[]} values @returns {Matcher} */
function matcherOf(type, values) {
  if (type === "thing") return { type, tags: values };
  const keys = values.map((each) => `lora:${each.toLowerCase()}`);
  return keys.length === 1 ? { type, key: keys[0] } : { type, keys };
}
