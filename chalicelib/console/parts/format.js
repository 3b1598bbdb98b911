/** Numbers, times, JSON and CSV as the page shows them. */

const NUMBER = new Intl.NumberFormat("en");
const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const SECOND = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const SHORT_DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** @param {number} value */
export const number = (value) => NUMBER.format(value);

/** Hours and minutes. @param {string} time */
export const clock = (time) => TIME.format(new Date(time));

/** @param {string} time */
export const day = (time) => DAY.format(new Date(time));

/** A time to the second, with the day if it is not today. @param {string} time */
export function moment(time) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return time;
  const today = date.toDateString() === new Date().toDateString();
  return today ? SECOND.format(date) : `${SHORT_DAY.format(date)}, ${SECOND.format(date)}`;
}

/** JSON with indented lines; other text unchanged. @param {string} text */
export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/**
 * A CSV document. A cell that a spreadsheet would read as a formula gets an apostrophe.
 * @param {unknown[][]} rows
 */
export function csv(rows) {
  const cell = (/** @type {unknown} */ value) => {
    let text = String(value ?? "");
    if (typeof value !== "number" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

/** Saves a file on the user's machine. @param {string} name @param {string} type @param {string} text */
export function download(name, type, text) {
  const address = URL.createObjectURL(new Blob(["\ufeff", text], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(address), 1000);
}

const ZONED = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
  timeZoneName: "short",
});
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
/** Units of a relative time and the seconds from which each is used. @type {[Intl.RelativeTimeFormatUnit, number][]} */
const UNITS = [["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1]];

/** A time with its time zone. @param {string} time */
export const zoned = (time) => ZONED.format(new Date(time));

/** A time relative to now, such as "5 min. ago" or "in 3 hr." @param {string} time */
export function relative(time) {
  const seconds = Math.round((new Date(time).getTime() - Date.now()) / 1000);
  const [unit, size] = UNITS.find(([, from]) => Math.abs(seconds) >= from) ?? ["second", 1];
  return RELATIVE.format(Math.trunc(seconds / size), unit);
}
