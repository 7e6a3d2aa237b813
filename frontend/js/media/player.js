import { AppendQueue } from "./append_queue.js";
import { ahead, evictable, extent, nextStart } from "./ranges.js";
import { HOLD_S, PlaybackWatch } from "./watch.js";

/**
 * @typedef {import("./watch.js").PlaybackState | "empty" | "ended"} PlayerState
 * @typedef {object} PlayerStats
 * @property {PlayerState} state
 * @property {boolean} wanted the viewer wants playback
 * @property {boolean} live the viewer follows the newest picture
 * @property {boolean} muted
 * @property {boolean} mutedByBrowser sound was held back until the viewer asks for it
 * @property {number} volume 0..1
 * @property {number} position_s
 * @property {number} ahead_s
 * @property {number} start_s first buffered moment
 * @property {number} end_s last buffered moment
 * @property {number} stalls
 * @property {number} stalled_ms
 * @property {number} idles
 * @property {number} jumps
 * @property {number} evictions
 * @property {number} appended_bytes
 * @property {number} pending_bytes
 * @property {number} frames
 * @property {number} dropped_frames
 * @property {string} mime
 */

/** Seconds of past media that stay for seeking back, and the few that stay when the browser's memory is full. */
const KEEP_BEHIND_S = 60;
const KEEP_WHEN_FULL_S = 2;
const LOOK_EVERY_MS = 250;
/** Distance to the newest media that still counts as live; the server keeps a lead of several seconds by itself. */
const LIVE_EDGE_S = 1;

/** Safari's own kind, which also says when it wants data; phones have only this one. */
const Managed = /** @type {typeof MediaSource | undefined} */ (/** @type {any} */ (globalThis).ManagedMediaSource);
const Source = /** @type {typeof MediaSource | undefined} */ (Managed ?? globalThis.MediaSource);

/**
 * Plays one continuous timeline through a media element. Fragments carry their own times, so the player only appends; it starts, holds and
 * jumps as `PlaybackWatch` decides. Events: `change` when something visible changed, `firstframe`, and `problem` with the error as detail.
 */
export class Player extends EventTarget {
  #video;
  #watch = new PlaybackWatch();
  /** @type {MediaSource | null} */
  #source = null;
  #address = "";
  /** @type {AppendQueue | null} */
  #queue = null;
  /** @type {import("./append_queue.js").Operation[]} operations that came before the source was open */
  #early = [];
  #mime = "";
  #wanted = true;
  #live = true;
  #expecting = false;
  #mutedByBrowser = false;
  /** The element stands still because this player told it to. */
  #holding = true;
  #ended = false;
  #appended_bytes = 0;
  #timer = 0;
  /** Looks again when little is left, between two regular looks. */
  #soon = 0;
  /** @type {PlayerStats | null} */
  #reported = null;

  /** @param {HTMLVideoElement} video */
  constructor(video) {
    super();
    this.#video = video;
    video.addEventListener("waiting", () => this.#look(true));
    video.addEventListener("seeking", () => this.#report());
    video.addEventListener("seeked", () => this.#look(false));
    video.addEventListener("timeupdate", () => this.#report());
    video.addEventListener("volumechange", () => this.#report());
    video.addEventListener("ended", () => this.#end());
    // Media keys and the browser itself act on the element: take it as the viewer's wish. The events come late, and by then
    // the element may have been told otherwise; its own state says what holds.
    video.addEventListener("pause", () => {
      if (this.#source && this.#wanted && !this.#holding && video.paused && !video.ended) this.pause();
    });
    video.addEventListener("play", () => {
      if (this.#source && !this.#wanted && !video.paused) this.play();
    });
    video.addEventListener("error", () => {
      if (this.#source) this.#fail(video.error ?? new Error("the media element failed"));
    });
  }

  static get supported() {
    return Source !== undefined;
  }

  get video() {
    return this.#video;
  }

  /** @returns {PlayerStats} */
  get stats() {
    const video = this.#video;
    const span = extent(video.buffered);
    const quality = video.getVideoPlaybackQuality();
    return {
      state: this.#source === null ? "empty" : this.#ended ? "ended" : this.#watch.state,
      wanted: this.#wanted,
      live: this.#live,
      muted: video.muted,
      mutedByBrowser: this.#mutedByBrowser,
      volume: video.volume,
      position_s: video.currentTime,
      ahead_s: ahead(video.buffered, video.currentTime),
      start_s: span?.start_s ?? 0,
      end_s: span?.end_s ?? 0,
      ...this.#watch.counts,
      evictions: this.#queue?.evictions ?? 0,
      appended_bytes: this.#appended_bytes,
      pending_bytes: this.#queue?.pending_bytes ?? 0,
      frames: quality.totalVideoFrames,
      dropped_frames: quality.droppedVideoFrames,
      mime: this.#mime,
    };
  }

  /**
   * Announces the type of the media that follows. The first call opens the player, a later one with another type switches it.
   * @param {string} mime
   */
  open(mime) {
    if (mime === this.#mime) return;
    if (!Source?.isTypeSupported(mime)) {
      this.#fail(new DOMException(`this browser cannot play ${mime}`, "NotSupportedError"));
      return;
    }
    this.#mime = mime;
    if (this.#source) this.#push({ kind: "type", mime });
    else this.#attach(Source);
  }

  /** @param {Uint8Array<ArrayBuffer>} data an init segment or whole fragments */
  append(data) {
    this.#appended_bytes += data.byteLength;
    this.#push({ kind: "append", data });
  }

  /** Nothing more will come: playback ends at the last picture. */
  finish() {
    this.#push({
      kind: "end",
      run: () => {
        if (this.#source?.readyState === "open") this.#source.endOfStream();
      },
    });
  }

  /** @param {boolean} expecting more media was asked for, so running dry would be a stall */
  setExpecting(expecting) {
    if (expecting === this.#expecting) return;
    this.#expecting = expecting;
    this.#look(false);
  }

  /** Lets go of everything and is ready for another timeline. */
  close() {
    clearInterval(this.#timer);
    clearTimeout(this.#soon);
    this.#queue?.close();
    this.#queue = null;
    this.#source = null;
    this.#early = [];
    this.#mime = "";
    this.#watch = new PlaybackWatch();
    this.#wanted = true;
    this.#live = true;
    this.#expecting = false;
    this.#holding = true;
    this.#ended = false;
    this.#appended_bytes = 0;
    if (this.#address) URL.revokeObjectURL(this.#address);
    this.#address = "";
    this.#video.srcObject = null;
    this.#video.removeAttribute("src");
    this.#video.load();
    this.#report();
  }

  play() {
    this.#wanted = true;
    if (this.#ended) {
      this.#ended = false;
      this.seek(this.stats.start_s);
      void this.#start();
    }
    this.#look(false);
  }

  pause() {
    this.#wanted = false;
    this.#live = false;
    this.#hold();
    this.#look(false);
  }

  /** @param {number} position_s kept inside what is buffered */
  seek(position_s) {
    const { start_s, end_s } = this.stats;
    const to_s = Math.min(Math.max(position_s, start_s), Math.max(start_s, end_s - 0.05));
    if (to_s < this.#video.currentTime) this.#live = false;
    this.#ended = false;
    this.#video.currentTime = to_s;
  }

  /** Jumps to the newest media and plays. */
  goLive() {
    const { end_s, position_s } = this.stats;
    this.#live = true;
    this.#wanted = true;
    if (end_s - LIVE_EDGE_S > position_s) this.#video.currentTime = end_s - LIVE_EDGE_S;
    this.#look(false);
  }

  /** @param {boolean} muted */
  setMuted(muted) {
    this.#video.muted = muted;
    this.#mutedByBrowser = false;
    this.#report();
  }

  /** @param {number} volume 0..1 */
  setVolume(volume) {
    this.#video.volume = Math.min(Math.max(volume, 0), 1);
    this.setMuted(this.#video.volume === 0);
  }

  /** @param {typeof MediaSource} Kind */
  #attach(Kind) {
    const source = new Kind();
    this.#source = source;
    // A managed source may only be used by an element that can't hand its playback to another device.
    this.#video.disableRemotePlayback = true;
    source.addEventListener("sourceopen", () => this.#opened(source), { once: true });
    source.addEventListener("startstreaming", () => this.#queue?.setOpen(true));
    source.addEventListener("endstreaming", () => this.#queue?.setOpen(false));
    this.#connect(source);
    this.#noticeFirstFrame(source);
    this.#timer = setInterval(() => this.#look(false), LOOK_EVERY_MS);
  }

  /** @param {MediaSource} source */
  #connect(source) {
    if (Source === Managed) {
      try {
        this.#video.srcObject = source;
        return;
      } catch {
        // Not every browser takes a source directly; an address of it always works.
      }
    }
    this.#address = URL.createObjectURL(source);
    this.#video.src = this.#address;
  }

  /** @param {MediaSource} source */
  #opened(source) {
    if (source !== this.#source) return;
    let buffer;
    try {
      buffer = source.addSourceBuffer(this.#mime);
    } catch (problem) {
      this.#fail(problem);
      return;
    }
    buffer.mode = "segments";
    buffer.addEventListener("updateend", () => this.#look(false));
    this.#queue = new AppendQueue(buffer, {
      room: () => evictable(this.#video.buffered, this.#video.currentTime, KEEP_WHEN_FULL_S),
      fail: (problem) => this.#fail(problem),
    });
    for (const operation of this.#early.splice(0)) this.#queue.push(operation);
  }

  /** @param {import("./append_queue.js").Operation} operation */
  #push(operation) {
    if (this.#queue) this.#queue.push(operation);
    else if (this.#source) this.#early.push(operation);
  }

  /** @param {boolean} waiting */
  #look(waiting) {
    if (!this.#source) return;
    const video = this.#video;
    if (this.#ended) {
      this.#report();
      return;
    }
    const decision = this.#watch.observe({
      now_ms: performance.now(),
      position_s: video.currentTime,
      ahead_s: ahead(video.buffered, video.currentTime),
      next_s: nextStart(video.buffered, video.currentTime),
      wanted: this.#wanted,
      expecting: this.#expecting,
      final: this.#source.readyState === "ended",
      waiting,
      seeking: video.seeking,
      ready: video.readyState >= video.HAVE_FUTURE_DATA,
    });
    if (decision.act === "play") void this.#start();
    else if (decision.act === "hold") this.#hold();
    else if (decision.act === "jump") video.currentTime = decision.to_s;
    // A stream that ends while playback stands at its last few samples never reaches `ended` by itself.
    if (this.#source.readyState === "ended" && this.#watch.state === "idle") this.#end();
    if (this.#watch.state === "playing" && ahead(video.buffered, video.currentTime) <= LIVE_EDGE_S) this.#live = true;
    if (this.#watch.state === "playing") this.#lookBeforeItRunsDry();
    this.#keepHouse();
    this.#report();
  }

  #lookBeforeItRunsDry() {
    const left_ms = 1000 * (ahead(this.#video.buffered, this.#video.currentTime) - HOLD_S);
    if (left_ms <= 0 || left_ms >= LOOK_EVERY_MS) return;
    clearTimeout(this.#soon);
    this.#soon = setTimeout(() => this.#look(false), left_ms);
  }

  #keepHouse() {
    const queue = this.#queue;
    if (!queue) return;
    queue.retry();
    const range = evictable(this.#video.buffered, this.#video.currentTime, KEEP_BEHIND_S);
    if (range && queue.idle && this.#source?.readyState === "open") queue.push({ kind: "remove", ...range });
  }

  #hold() {
    this.#holding = true;
    this.#video.pause();
  }

  #end() {
    this.#ended = true;
    this.#report();
  }

  async #start() {
    const video = this.#video;
    this.#holding = false;
    try {
      await video.play();
    } catch (problem) {
      if (!(problem instanceof DOMException) || problem.name !== "NotAllowedError") return;
      // Sound needs a gesture here: play without it, and let the page offer to turn it on.
      this.#mutedByBrowser = true;
      video.muted = true;
      await video.play().catch(() => this.pause());
    }
    this.#report();
  }

  /** @param {MediaSource} source */
  #noticeFirstFrame(source) {
    const seen = () => {
      if (source === this.#source) this.dispatchEvent(new Event("firstframe"));
    };
    if ("requestVideoFrameCallback" in this.#video) this.#video.requestVideoFrameCallback(seen);
    else /** @type {HTMLVideoElement} */ (this.#video).addEventListener("loadeddata", seen, { once: true });
  }

  /** @param {unknown} problem */
  #fail(problem) {
    clearInterval(this.#timer);
    this.#queue?.close();
    this.dispatchEvent(new CustomEvent("problem", { detail: problem }));
  }

  #report() {
    const stats = this.stats;
    const before = this.#reported;
    const keys = /** @type {(keyof PlayerStats)[]} */ (Object.keys(stats));
    if (before && keys.every((key) => before[key] === stats[key])) return;
    this.#reported = stats;
    this.dispatchEvent(new Event("change"));
  }
}
