/** Words that several texts share. */

/** @param {number} n @param {string} one @param {string} more */
export const count = (n, one, more) => `${n.toLocaleString("en")} ${n === 1 ? one : more}`;
