/** The query of the address behind `#`, such as `#/connections?state=OPENED`: a link shows the same list. */

/** The path of the address without its query. */
export const pathOf = () => location.hash.replace(/^#/, "").split("?")[0];

export function readQuery() {
  const [, text = ""] = location.hash.split("?");
  return new URLSearchParams(text);
}

/** An address with the parameters that have a value. @param {string} path @param {Record<string, unknown>} values */
export function addressOf(path, values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  // Commas separate values and are easier to read unescaped.
  return `#${path}${text && `?${text.replaceAll("%2C", ",")}`}`;
}

/** Writes the query into the address without opening a view. @param {Record<string, unknown>} values */
export function writeQuery(values) {
  const address = addressOf(pathOf() || "/", values);
  if (address !== location.hash) history.replaceState(null, "", address);
}
