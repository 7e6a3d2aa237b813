/** A connection that holds for so long, or brings media, was worth it: the next loss is another matter. */
const STEADY_MS = 5000;
/** Whoever asks for more patience is not waited for. */
const LONGEST_RETRY_AFTER_MS = 60_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 3000;

/**
 * When a client comes back after its connection ended: after pauses that double, until the session's grace time is over. A server that
 * takes a session back and loses it again at once, again and again, is given no more time than that. Time is an argument.
 */
export class Comeback {
  #pause_ms = FIRST_PAUSE_MS;
  #until_ms = 0;
  #atLast_ms = 0;
  #sequence = -1;
  /** @type {number | null} */
  #back_ms = null;

  /**
   * The connection ended.
   * @param {number} now_ms
   * @param {number} sequence of the last fragment that arrived
   * @param {number} grace_ms for how long the server keeps the session
   */
  lost(now_ms, sequence, grace_ms) {
    if (this.#back_ms === null || sequence > this.#sequence || now_ms - this.#back_ms >= STEADY_MS) {
      this.#pause_ms = FIRST_PAUSE_MS;
      this.#until_ms = now_ms + grace_ms;
      this.#atLast_ms = this.#until_ms + LONGEST_RETRY_AFTER_MS;
    }
    this.#sequence = sequence;
  }

  /**
   * @param {number} now_ms
   * @param {number} chance from 0 to 1, so that not all come at once
   * @param {number} retryAfter_ms what the server asked for, 0 for nothing
   * @returns {number | null} how long to wait before the next attempt; null to give up
   */
  pause_ms(now_ms, chance, retryAfter_ms) {
    if (retryAfter_ms > 0) {
      this.#until_ms = Math.min(Math.max(this.#until_ms, now_ms + retryAfter_ms + LONGEST_PAUSE_MS), this.#atLast_ms);
    }
    if (retryAfter_ms > LONGEST_RETRY_AFTER_MS || now_ms + retryAfter_ms + this.#pause_ms >= this.#until_ms) return null;
    const wait_ms = retryAfter_ms + this.#pause_ms * (0.5 + chance / 2);
    this.#pause_ms = Math.min(2 * this.#pause_ms, LONGEST_PAUSE_MS);
    return wait_ms;
  }

  /** The session goes on. @param {number} now_ms */
  back(now_ms) {
    this.#back_ms = now_ms;
  }
}
