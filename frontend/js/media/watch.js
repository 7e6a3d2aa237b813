/**
 * Decides, from a look at the player every quarter second and at each `waiting` event, whether playback starts, waits, jumps or goes on.
 *
 * @typedef {"starting" | "playing" | "stalled" | "idle" | "paused"} PlaybackState
 * @typedef {object} Look
 * @property {number} now_ms
 * @property {number} position_s
 * @property {number} ahead_s what can be played from the position without a hole
 * @property {number | null} next_s where the next range begins behind a hole
 * @property {boolean} wanted the viewer wants playback
 * @property {boolean} expecting more media was asked for and has not all arrived
 * @property {boolean} final nothing will ever come behind what is buffered
 * @property {boolean} waiting the media element said that it ran dry
 * @property {boolean} seeking
 * @property {boolean} ready the media element has what it needs to play on from the position
 * @typedef {{act: "none" | "play" | "hold"} | {act: "jump", to_s: number}} Decision
 */

export const START_BUFFER_S = 0.5;
/**
 * Playback is held when so little is left. Were it to run dry, Chromium would go on only once more is buffered than the time before, up to
 * seconds; a player that is held goes on at once.
 */
export const HOLD_S = 0.1;
/** Below this a range is a leftover, of which nothing more is expected; starting on it would be held at once. */
const LEFTOVER_S = 0.25;
/** Below this nothing can be played. */
const DRY_S = 0.1;
/** A player that stands still for this long with media in front of it is pushed. */
const FROZEN_MS = 3000;
/** The same for one that says it lacks media: it ran dry, and a seek to where it stands makes it forget how much it wants this time. */
const UNREADY_MS = 300;
const PUSH_S = 0.05;

export class PlaybackWatch {
  /** @type {PlaybackState} */
  #state = "starting";
  #stalls = 0;
  #stalled_ms = 0;
  #idles = 0;
  #jumps = 0;
  /** @type {number | null} */
  #stalled_since_ms = null;
  #moved_ms = 0;
  #last_s = -1;
  /** Where playback stood when it was last told to look at its media again. */
  #renewed_s = -1;

  get state() {
    return this.#state;
  }

  get counts() {
    return { stalls: this.#stalls, stalled_ms: this.#stalled_ms, idles: this.#idles, jumps: this.#jumps };
  }

  /**
   * @param {Look} look
   * @returns {Decision}
   */
  observe(look) {
    if (look.position_s !== this.#last_s) {
      this.#last_s = look.position_s;
      this.#moved_ms = look.now_ms;
    }
    if (this.#stalled_since_ms !== null) {
      this.#stalled_ms += look.now_ms - this.#stalled_since_ms;
      this.#stalled_since_ms = look.now_ms;
    }
    if (!look.wanted) {
      this.#enter("paused", look);
      return { act: "none" };
    }
    if (look.seeking) return { act: "none" };
    return this.#state === "playing" ? this.#whilePlaying(look) : this.#whileStanding(look);
  }

  /** @param {Look} look @returns {Decision} */
  #whilePlaying(look) {
    const dry = look.ahead_s < DRY_S && (look.waiting || this.#stoodFor(look) > 300);
    // The stream only ever goes forward: a hole with media behind it will never be filled.
    if (dry && look.next_s !== null) return this.#jump(look.next_s, look);
    if (dry || (look.ahead_s <= HOLD_S && look.next_s === null && !look.final)) {
      return this.#rest(look);
    }
    const little = look.ahead_s < START_BUFFER_S;
    if (!look.ready && this.#stoodFor(look) > UNREADY_MS) {
      if (little && look.next_s !== null) return this.#jump(look.next_s, look);
      if (little && look.expecting) return this.#rest(look);
      if (this.#renewed_s !== look.position_s) {
        this.#renewed_s = look.position_s;
        return { act: "jump", to_s: look.position_s };
      }
    }
    const stands = !little || !look.ready;
    return stands && this.#stoodFor(look) > FROZEN_MS ? this.#jump(look.position_s + PUSH_S, look) : { act: "none" };
  }

  /** @param {Look} look @returns {Decision} */
  #rest(look) {
    if (look.expecting) this.#stalls += 1;
    else this.#idles += 1;
    this.#enter(look.expecting ? "stalled" : "idle", look);
    return { act: "hold" };
  }

  /** @param {Look} look @returns {Decision} */
  #whileStanding(look) {
    if (look.ahead_s < DRY_S && look.next_s !== null) return this.#jump(look.next_s, look);
    // Before a hole, and at the end, what is there is all that comes.
    const whole = look.final || look.next_s !== null;
    const enough_s = whole ? DRY_S : look.expecting ? START_BUFFER_S : LEFTOVER_S;
    if (look.ahead_s >= enough_s) {
      this.#enter("playing", look);
      return { act: "play" };
    }
    // What ran dry in want of media stays a stall until it plays again, but nothing waits for what nobody asked for.
    if (this.#state === "stalled" && !look.expecting) this.#enter("idle", look);
    if (this.#state === "paused") this.#enter("starting", look);
    return { act: "none" };
  }

  /** @param {number} to_s @param {Look} look @returns {Decision} */
  #jump(to_s, look) {
    this.#jumps += 1;
    this.#moved_ms = look.now_ms;
    return { act: "jump", to_s };
  }

  /** @param {Look} look */
  #stoodFor(look) {
    return look.now_ms - this.#moved_ms;
  }

  /** @param {PlaybackState} state @param {Look} look */
  #enter(state, look) {
    this.#state = state;
    this.#moved_ms = look.now_ms;
    this.#stalled_since_ms = state === "stalled" ? look.now_ms : null;
  }
}
