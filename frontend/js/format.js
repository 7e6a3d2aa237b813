/** Numbers as people read them. */

/** @param {number} seconds @returns {string} m:ss */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** @param {number} ms @returns {string} */
export function milliseconds(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

/** @param {number} seconds @returns {string} */
export const secondsShort = (seconds) => `${seconds.toFixed(1)} s`;

/** @param {number} ms @returns {string} a wait, rounded the way people say it */
export function wait(ms) {
  const seconds = Math.max(1, Math.round(ms / 1000));
  if (seconds < 90) return `about ${seconds} s`;
  return `about ${Math.round(seconds / 60)} min`;
}

/** @param {number} factor @returns {string} */
export const times = (factor) => `${factor.toFixed(factor < 10 ? 1 : 0)}×`;

/** @param {number} count @param {string} noun @returns {string} */
export const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** @param {number} bytes @returns {string} */
export function fileSize(bytes) {
  if (bytes < 1e6) return `${Math.max(1, Math.round(bytes / 1e3))} kB`;
  return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
}
