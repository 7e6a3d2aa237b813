/**
 * What `GET v1/admin/overview` tells.
 * @typedef {object} SessionStanding
 * @property {string} id
 * @property {string} state
 * @property {boolean} connected
 * @property {boolean} generating
 * @property {number} segment_idx
 * @property {number | null} lead_ms
 * @property {number} age_s
 * @property {number | null} queue_position
 * @property {string} address
 * @property {string | null} owner
 *
 * @typedef {object} WorkerStanding
 * @property {string} name
 * @property {"dead" | "booting" | "ready" | "busy"} state
 * @property {number | null} pid
 * @property {number} restarts
 *
 * @typedef {object} Overview
 * @property {"ready" | "warming" | "draining"} status
 * @property {string | null} model_id
 * @property {number} max_sessions
 * @property {number} segment_cap
 * @property {number} queued_sessions
 * @property {number} segments_waiting
 * @property {SessionStanding[]} sessions
 * @property {WorkerStanding[]} workers
 */

/** The server answers those only who may see this; the message is its own. */
export class NotForYou extends Error {}

/**
 * @param {string} path @param {RequestInit} request
 * @returns {Promise<any>} rejects with NotForYou, and with an Error when the server does not answer as it should
 */
export async function ask(path, request) {
  const answer = await fetch(path, { ...request, cache: "no-store", signal: AbortSignal.timeout(10_000) });
  if (answer.status === 401 || answer.status === 403) {
    const said = await answer.json().catch(() => null);
    throw new NotForYou(said?.error?.message ?? "The server asks for an admin key.");
  }
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return answer.json();
}

/** @param {SessionStanding} session @returns {{text: string, tone: string}} */
export function sessionState(session) {
  if (!session.connected) return { text: "Away", tone: "bad" };
  if (session.queue_position !== null) return { text: "Waits for a worker", tone: "busy" };
  if (session.generating) return { text: "Generating", tone: "good" };
  if (session.state === "active") return { text: "Idle", tone: "quiet" };
  return { text: "Opening", tone: "busy" };
}

/** @param {WorkerStanding} worker @returns {{text: string, tone: string}} */
export function workerState(worker) {
  switch (worker.state) {
    case "ready":
      return { text: "Ready", tone: "good" };
    case "busy":
      return { text: "Busy", tone: "good" };
    case "booting":
      return { text: "Starting", tone: "busy" };
    case "dead":
      return { text: "Gone", tone: "bad" };
  }
}
