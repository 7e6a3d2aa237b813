import { decodeTimes, isInitSegment, playEarlier, sameBytes, trackTimescales } from "./boxes.js";

/**
 * @typedef {{parts: Uint8Array<ArrayBuffer>[], sealed: Blob | null, bytes: number}} Chapter one segment's fragments
 */

/**
 * Keeps what was received, so that it can be saved as one MP4: the first init segment, then every fragment. Memory is bounded: when the
 * limit is passed the oldest segments are let go, and the file then holds the newest part, moved to start at zero.
 */
export class Recording {
  /** @type {Uint8Array<ArrayBuffer> | null} */
  #init = null;
  /** @type {Chapter[]} */
  #chapters = [];
  #bytes = 0;
  #dropped = 0;
  #limit_bytes;

  /** @param {{limit_bytes: number}} options */
  constructor({ limit_bytes }) {
    this.#limit_bytes = limit_bytes;
  }

  /** Bytes that a saved file would have. */
  get bytes() {
    return this.#bytes === 0 ? 0 : this.#bytes + (this.#init?.byteLength ?? 0);
  }

  /** Segments that had to be let go. */
  get dropped() {
    return this.#dropped;
  }

  /**
   * One binary message of the stream, whole boxes as the server sends them.
   * @param {Uint8Array<ArrayBuffer>} bytes
   */
  accept(bytes) {
    if (isInitSegment(bytes)) {
      this.#begin(bytes);
      return;
    }
    const chapter = this.#chapters.at(-1);
    if (!chapter) throw new RangeError("expected an init segment before the first fragment");
    chapter.parts.push(bytes);
    chapter.bytes += bytes.byteLength;
    this.#bytes += bytes.byteLength;
    this.#keepWithinLimit();
  }

  /**
   * The file as it stands.
   * @returns {Promise<Blob>}
   * @throws {RangeError} when nothing was received yet
   */
  async file() {
    const init = this.#init;
    if (!init || this.#bytes === 0) throw new RangeError("expected at least one fragment, nothing was received yet");
    const chapters = this.#chapters.filter((chapter) => chapter.bytes > 0);
    /** @type {Blob[]} */
    const bodies = chapters.map((chapter) => chapter.sealed ?? new Blob(chapter.parts));
    const type = "video/mp4";
    if (this.#dropped === 0) return new Blob([init, ...bodies], { type });

    const timescales = trackTimescales(init);
    const first = decodeTimes(new Uint8Array(await bodies[0].arrayBuffer()));
    const start_s = Math.min(...first.map(({ trackId, time }) => Number(time) / (timescales.get(trackId) ?? 1)));
    const shift = new Map([...timescales].map(([id, hz]) => [id, BigInt(Math.floor(start_s * hz))]));
    const moved = [];
    for (const body of bodies) moved.push(playEarlier(new Uint8Array(await body.arrayBuffer()), shift));
    return new Blob([init, ...moved], { type });
  }

  /** @param {Uint8Array<ArrayBuffer>} init */
  #begin(init) {
    const last = this.#chapters.at(-1);
    if (last && !last.sealed) {
      // A blob may live outside the page's heap, and browsers move large ones to disk.
      last.sealed = new Blob(last.parts);
      last.parts = [];
    }
    if (this.#init && !sameBytes(this.#init, init)) {
      // Another codec or size can't follow in the same file.
      this.#dropped += this.#chapters.length;
      this.#chapters = [];
      this.#bytes = 0;
    }
    if (this.#chapters.length === 0) this.#init = init;
    this.#chapters.push({ parts: [], sealed: null, bytes: 0 });
  }

  #keepWithinLimit() {
    while (this.#bytes > this.#limit_bytes && this.#chapters.length > 1) {
      const oldest = this.#chapters.shift();
      this.#bytes -= oldest?.bytes ?? 0;
      this.#dropped += 1;
    }
  }
}
