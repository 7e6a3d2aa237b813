/**
 * Recordings on the server. Whoever knows a session's id may see its recording; which there are may be nobody's business.
 *
 * @typedef {object} Recording
 * @property {string} id
 * @property {"recording" | "ended"} state
 * @property {string | null} reason why it ended
 * @property {string} started_at
 * @property {string | null} ended_at
 * @property {number} duration_s
 * @property {number} bytes
 * @property {number} width
 * @property {number} height
 * @property {number} segments
 * @property {string} prompt the first one
 * @property {string} model_id
 * @property {boolean} poster
 *
 * @typedef {{event: string, ts: number, media_s: number, payload: Record<string, any>}} RecordedEvent
 */

const SESSIONS = "v1/sessions";
const LISTED = 100;

/** @param {string} id */
const address = (id) => `${SESSIONS}/${encodeURIComponent(id)}`;

/** @param {Recording} recording @returns {string} */
export const mediaUrl = ({ id }) => `${address(id)}/recording.mp4`;

/** @param {Recording} recording @returns {string} */
export const posterUrl = ({ id }) => `${address(id)}/poster.jpg`;

/**
 * @param {import("../access.js").Access} access
 * @returns {Promise<Recording[] | null>} the newest; null when this server does not tell, or nobody answers
 */
export async function listRecordings(access) {
  const answer = await get(`${SESSIONS}?limit=${LISTED}`, { headers: access.headers });
  return answer?.ok ? (await answer.json()).sessions : null;
}

/** @param {string} id @returns {Promise<Recording | null | undefined>} null when there is none any more, undefined when nobody answers */
export async function readRecording(id) {
  const answer = await get(address(id));
  if (answer?.ok) return answer.json();
  return answer?.status === 404 ? null : undefined;
}

/** @param {Recording} recording @returns {Promise<RecordedEvent[]>} */
export async function readEvents({ id }) {
  const answer = await get(`${address(id)}/events`);
  if (!answer?.ok) return [];
  const lines = (await answer.text()).split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line));
}

/**
 * @param {Recording} recording
 * @param {import("../access.js").Access} access
 * @returns {Promise<boolean>} whether it is gone
 */
export async function removeRecording({ id }, access) {
  const answer = await get(address(id), { method: "DELETE", headers: access.headers });
  return answer !== null && (answer.ok || answer.status === 404);
}

/**
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<Response | null>}
 */
async function get(path, options) {
  try {
    return await fetch(path, options);
  } catch (problem) {
    console.info(`${path} could not be read`, problem);
    return null;
  }
}
