/** Which recordings the viewer knows of, and how they are described. No network, no page. */

/**
 * @typedef {import("./api.js").Recording} Recording
 * @typedef {import("./api.js").RecordedEvent} RecordedEvent
 * @typedef {{start_s: number, prompt: string}} Scene
 */

/** As many of one's own are remembered. */
const MAX_OWN = 200;

/** @param {unknown} value what the browser remembered @returns {string[]} */
export const ownIds = (value) => (Array.isArray(value) ? value.filter((id) => /^[0-9a-f]{32}$/.test(id)).slice(0, MAX_OWN) : []);

/** @param {string[]} own @param {string} id @returns {string[]} the newest first */
export const withOwn = (own, id) => [id, ...own.filter((one) => one !== id)].slice(0, MAX_OWN);

/** @param {Recording[]} listed @param {Recording[]} own @returns {Recording[]} each once, the newest first */
export function merged(listed, own) {
  const byId = new Map([...own, ...listed].map((one) => [one.id, one]));
  return [...byId.values()].sort((a, b) => b.started_at.localeCompare(a.started_at));
}

/** @param {RecordedEvent[]} events @returns {Scene[]} where each prompt begins to play; one that never did is left out */
export function scenes(events) {
  const started = events
    .filter(({ event }) => event === "ltx2_segment_start")
    .map(({ media_s, payload }) => ({ start_s: media_s, prompt: String(payload.prompt ?? "") }));
  const end_s = events.at(-1)?.media_s ?? 0;
  return started.filter(({ start_s }, index) => start_s < (started[index + 1]?.start_s ?? end_s));
}

/** @param {Scene[]} list @param {number} position_s @returns {number} the one that plays; -1 before the first */
export const sceneAt = (list, position_s) => list.findLastIndex(({ start_s }) => start_s <= position_s + 0.001);

/**
 * @param {string} moment as the server gives it
 * @param {Date} now
 * @param {string} [language]
 * @returns {string} as people say it
 */
export function when(moment, now, language) {
  const then = new Date(moment);
  const time = then.toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit" });
  const days = Math.round((midnight(now) - midnight(then)) / 86_400_000);
  if (days === 0) return `Today, ${time}`;
  if (days === 1) return `Yesterday, ${time}`;
  const year = then.getFullYear() === now.getFullYear() ? {} : /** @type {const} */ ({ year: "numeric" });
  return `${then.toLocaleDateString(language, { day: "numeric", month: "short", ...year })}, ${time}`;
}

/** @param {Date} date */
const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();

/** @type {Record<string, string>} ends that the viewer did not ask for */
const REASONS = {
  not_offered: "This server makes no recordings.",
  session_limit: "It reached the length that this server allows.",
  storage_limit: "The server's room for recordings is used up.",
  disk_full: "The server's disk is full.",
  disk_failed: "The server's disk failed.",
  disk_too_slow: "The server's disk was too slow.",
  format_changed: "The stream's size or codec changed, and cannot go on in the same file.",
  media_invalid: "The stream could not be kept as a file.",
  deleted: "It was deleted.",
  resumed: "The session went on elsewhere.",
  shutdown: "The server was shut down.",
  interrupted: "The server ended unexpectedly. What was made until then is here.",
  client_left: "The connection ended.",
  client_lost: "The connection was lost.",
  moved: "The session went on elsewhere.",
  error: "The stream failed.",
  internal_error: "The stream failed.",
  too_slow: "The connection was too slow.",
};

/** @param {string | null | undefined} reason @returns {string} empty for an end as one expects it */
export const reasonWords = (reason) => REASONS[reason ?? ""] ?? "";
