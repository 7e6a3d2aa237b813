/** What the page remembers in the browser. Storage can be off or full; then it remembers nothing, and works. */

/** @param {string} key @returns {any} */
export function remembered(key) {
  try {
    return JSON.parse(localStorage.getItem(`fastvideo.${key}`) ?? "null");
  } catch {
    return null;
  }
}

/** @param {string} key @param {unknown} value */
export function remember(key, value) {
  try {
    localStorage.setItem(`fastvideo.${key}`, JSON.stringify(value));
  } catch {
    // Nothing to do: the value lasts as long as the page.
  }
}
