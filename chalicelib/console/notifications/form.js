/** The form of the settings of notifications. */

import { errorLine } from "../parts/dialog.js";
import { button, h } from "../parts/dom.js";
import { createField } from "../parts/field.js";
import { field } from "../parts/fields.js";
import { T } from "../texts.js";
import { N } from "../texts/notifications.js";

const KINDS = /** @type {NotificationKind[]} */ (Object.keys(N.kind).filter((each) => each !== "test"));
const TIME = /^([01]\d|2[0-3]):[0-5]\d$/;

/** @param {string} value */
const minutes = (value) => (/^\d+$/.test(value) && Number(value) >= 1 && Number(value) <= 1440 ? "" : N.minutes);
/** @param {string} value */
const time = (value) => (TIME.test(value) ? "" : N.time);

/** @param {NotificationSettings | undefined} stored */
function settingsFields(stored) {
  const options = /** @type {[string, string][]} */ (Object.entries(N.targets));
  const hours = stored?.quietHours;
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const text = field("username");
  const choice = field("downlinkEnabled");
  return {
    target: createField(
      { ...field("protocol"), label: N.target, help: N.targetHelp, options },
      { value: stored?.topicArn ? "topicArn" : "url", required: false },
    ),
    url: createField(
      { ...text, label: N.url, help: N.urlHelp, example: "https://hooks.example.com/iot", max: 2048 },
      { value: stored?.url, required: true },
    ),
    topicArn: createField(
      { ...text, label: N.topicArn, help: N.topicArnHelp, example: "arn:aws:sns:…:iot-flow-…" },
      { value: stored?.topicArn, required: true },
    ),
    active: createField({ ...choice, label: N.active, help: N.activeHelp }, { value: String(stored?.active ?? true) }),
    faultyAfter: createField(
      { ...field("downlinkPort"), label: N.faultyAfter, help: N.faultyAfterHelp, check: minutes },
      { value: String(stored?.faultyAfter ?? 5), required: true },
    ),
    quiet: createField({ ...choice, label: N.quiet, help: N.quietHelp }, { value: String(Boolean(hours)) }),
    startTime: createField(
      { ...text, label: N.from, help: N.quietHelp, check: time },
      { value: hours?.startTime ?? "22:00", required: true },
    ),
    endTime: createField(
      { ...text, label: N.to, help: N.quietHelp, check: time },
      { value: hours?.endTime ?? "07:00", required: true },
    ),
    timezone: createField(
      { ...text, label: N.zone, help: N.quietHelp },
      { value: hours?.timezone ?? here, required: true },
    ),
  };
}

/** @param {NotificationSettings | undefined} stored */
function kindBoxes(stored) {
  const error = errorLine();
  const boxes = KINDS.map((kind) => {
    const input = h("input", { type: "checkbox" });
    input.checked = !stored || stored.kinds.includes(kind);
    return { kind, input, element: h("label.check", {}, input, N.kind[kind]) };
  });
  const element = h("fieldset.days", {}, h("legend", {}, N.kinds), boxes.map((each) => each.element), error.element);
  const chosen = () => boxes.filter(({ input }) => input.checked).map(({ kind }) => kind);
  return {
    element,
    chosen,
    check() {
      error.show(chosen().length ? "" : N.kindsMissing);
      return chosen().length > 0;
    },
  };
}

/**
 * @param {NotificationSettings | undefined} stored
 * @param {(document: unknown, version: number) => Promise<void>} save
 */
export function settingsForm(stored, save) {
  const fields = settingsFields(stored);
  const { target, url, topicArn, active, faultyAfter, quiet, startTime, endTime, timezone } = fields;
  const kinds = kindBoxes(stored);
  const error = errorLine();
  const hours = h("div.grid", {}, startTime.element, endTime.element, timezone.element);

  function arrange() {
    url.setVisible(target.text() === "url");
    topicArn.setVisible(target.text() === "topicArn");
    hours.hidden = quiet.text() !== "true";
    for (const each of [startTime, endTime, timezone]) each.setVisible(!hours.hidden);
  }
  target.input.addEventListener("change", arrange);
  quiet.input.addEventListener("change", arrange);

  const body = () => ({
    active: active.text() === "true",
    [target.text()]: (target.text() === "url" ? url : topicArn).text(),
    kinds: kinds.chosen(),
    faultyAfter: Number(faultyAfter.text()),
    ...(hours.hidden
      ? {}
      : { quietHours: { startTime: startTime.text(), endTime: endTime.text(), timezone: timezone.text() } }),
  });

  /** Shows an error of the API at its field; returns whether there is one. @param {Fault} fault */
  function refuse({ pointer, detail }) {
    const key = pointer.split("/").at(-1) || "";
    if (key in fields) fields[/** @type {"url"} */ (key)].setError(detail);
    return key in fields;
  }

  async function submit() {
    error.show("");
    const good = [kinds.check(), ...Object.values(fields).map((each) => each.element.hidden || each.check())];
    if (good.includes(false)) {
      focusFirst();
      return;
    }
    saveButton.disabled = true;
    try {
      await save(body(), stored?.version ?? 0);
    } catch (problem) {
      const other = (problem.errors || []).filter((/** @type {Fault} */ each) => !refuse(each));
      const details = other.map((/** @type {Fault} */ each) => each.detail).join(" ");
      error.show(problem.errors?.length ? details : problem.message);
      focusFirst();
    } finally {
      saveButton.disabled = false;
    }
  }

  function focusFirst() {
    /** @type {HTMLElement | null} */ (element.querySelector("[aria-invalid=true]"))?.focus();
  }

  const saveButton = button(N.save, { kind: "primary", type: "submit" });
  const actions = h("div.actions", {}, saveButton);
  const element = h(
    "form.create",
    { novalidate: true, onsubmit: (event) => (event.preventDefault(), submit()) },
    h("p.muted", {}, T.form.mandatory),
    h(
      "div.panel",
      {},
      h("fieldset.group", {}, target.element, url.element, topicArn.element, active.element),
      h("fieldset.group", {}, kinds.element, faultyAfter.element),
      h("fieldset.group", {}, quiet.element, hours),
    ),
    error.element,
    actions,
  );
  arrange();
  return { element, actions };
}
