/** What the page remembers in the browser. Storage can be off or full; then it remembers nothing, and works. */

/** @param {string} key @returns {any} */
export function remembered(key) {
  try {
    return JSON.parse(localStorage.getItem(`fastvideo.${key}`) ?? "null");
  } catch {
    return null;
  }
}

/** @param {string} key @param {unknown} value @returns {boolean} false when it lasts only as long as the page */
export function remember(key, value) {
  try {
    localStorage.setItem(`fastvideo.${key}`, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}
