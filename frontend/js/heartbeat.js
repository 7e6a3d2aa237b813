const STATUS_EVERY_MS = 1000;
const PING_EVERY_MS = 5000;

/** Tells the server regularly where the viewer is, and measures how long a message takes there and back. */
export class Heartbeat {
  /** @type {Map<number, number>} when each ping left */
  #pinged = new Map();
  #pings = 0;
  #timers = [0, 0];
  #send;
  #status;

  /**
   * @param {(message: import("./protocol.js").ClientMessage) => void} send
   * @param {() => import("./protocol.js").PlaybackStatus | null} status null while there is nothing to tell
   */
  constructor(send, status) {
    this.#send = send;
    this.#status = status;
  }

  start() {
    this.stop();
    this.#timers = [setInterval(() => this.#tell(), STATUS_EVERY_MS), setInterval(() => this.ping(), PING_EVERY_MS)];
    this.ping();
  }

  stop() {
    for (const timer of this.#timers) clearInterval(timer);
    this.#pinged.clear();
  }

  ping() {
    this.#pings += 1;
    this.#pinged.set(this.#pings, performance.now());
    this.#send({ type: "ping", id: this.#pings });
  }

  /**
   * @param {number} id of the ping that was answered
   * @returns {number | null} milliseconds there and back; null when nobody asked
   */
  answered(id) {
    const sent_ms = this.#pinged.get(id);
    this.#pinged.delete(id);
    return sent_ms === undefined ? null : performance.now() - sent_ms;
  }

  #tell() {
    const status = this.#status();
    if (status) this.#send(status);
  }
}

/**
 * @param {import("./media/player.js").PlayerStats} stats
 * @returns {import("./protocol.js").PlaybackStatus | null} what to tell the server of it; null while nothing plays
 */
export function playbackStatus({ state, position_s, ahead_s, stalls }) {
  if (state === "empty") return null;
  return {
    type: "playback_status",
    position_ms: Math.round(position_s * 1000),
    buffered_ms: Math.round((position_s + ahead_s) * 1000),
    stalls,
  };
}
