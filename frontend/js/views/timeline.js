import { byId, drawList, el, icon, setAttribute, setFlag, setText } from "../dom.js";
import { clock, secondsShort, times } from "../format.js";
import { onEachFrame } from "../media/frames.js";
import { isWaiting } from "../prompts.js";
import { segmentAt } from "../segments.js";
import { toCome } from "../story.js";
import { sourceWords } from "../wording.js";

/**
 * @typedef {import("../state.js").AppState} AppState
 * @typedef {import("../segments.js").Segment} Segment
 * @typedef {{key: string, prompt: string, source: Segment["source"], segments: Segment[]}} Take segments of one prompt
 */

/** A picture is taken a little into the segment, where it has got going. */
const PICTURE_AFTER_S = 0.4;
const PICTURE_HEIGHT_PX = 112;
/** Segments in the strip; what plays longer ago than this has left the player's memory. */
const SHOWN = 60;
/** Prompts after the last segment. */
const UPCOMING = 3;
/** The strip follows the playhead unless the viewer has scrolled it just now. */
const FOLLOW_AFTER_MS = 4000;

/** @type {Record<string, string>} */
const ICONS = { user: "user", curated: "story", enhanced: "spark", auto_extension: "spark" };

/**
 * Segments by the prompt that they are made from: one goes on with the take before it when the server continued the same words by itself.
 * @param {Segment[]} segments
 * @param {number} [newest] as many of them
 * @returns {Take[]}
 */
export function takesOf(segments, newest = SHOWN) {
  /** @type {Take[]} */
  const takes = [];
  for (const segment of segments) {
    if (segment.duration_s === 0) continue;
    const last = takes.at(-1);
    if (last && segment.source === "auto_extension" && segment.prompt === last.prompt) last.segments.push(segment);
    else takes.push({ key: String(segment.serial), prompt: segment.prompt, source: segment.source, segments: [segment] });
  }
  // Cut only now, so that a take keeps its key, and with it its pictures, while its first segments leave.
  const shown = new Set(segments.slice(-newest));
  return takes.map((take) => ({ ...take, segments: take.segments.filter((segment) => shown.has(segment)) })).filter((take) => take.segments.length > 0);
}

/**
 * What is known of a segment in a few words.
 * @param {Segment} segment
 * @returns {string}
 */
export function segmentFacts(segment) {
  const length = secondsShort(segment.duration_s);
  switch (segment.status) {
    case "generating":
      return segment.step === 0 ? "Starting" : `Step ${segment.step} of ${segment.total_steps}`;
    case "receiving":
      return "Arriving";
    case "cancelled":
      return "Skipped";
    case "failed":
      return "Failed";
    case "complete": {
      if (!segment.generation_ms) return length;
      return `${length} in ${secondsShort(segment.generation_ms / 1000)} · ${times((segment.duration_s * 1000) / segment.generation_ms)}`;
    }
  }
}

/**
 * What comes after the segments: the viewer's prompts, then the story's scenes.
 * @param {Pick<AppState, "session" | "story">} state
 * @returns {string[]}
 */
export function upcoming({ session, story }) {
  const asked = session.prompts.filter(isWaiting).map(({ text }) => text);
  const scenes = story.playing ? toCome(story).map(({ text }) => text) : [];
  return session.phase === "active" ? [...asked, ...scenes].slice(0, UPCOMING) : [];
}

/** One segment: its picture, as wide as it is long; a click goes there. */
class Block {
  #picture = el("canvas", { class: "segment__picture", width: 1, height: PICTURE_HEIGHT_PX, "aria-hidden": "true" });
  #note = el("span", { class: "segment__note" });
  #button;
  pictured = false;

  /** @param {() => void} seek */
  constructor(seek) {
    this.#button = el("button", { type: "button", class: "segment__button" }, this.#picture, this.#note, el("span", { class: "segment__bar" }));
    this.#button.addEventListener("click", seek);
    this.element = el("li", { class: "segment" }, this.#button);
  }

  /** @param {Segment} segment */
  draw(segment) {
    const { index, status, step, total_steps, duration_s, prompt, source } = segment;
    const facts = segmentFacts(segment);
    setAttribute(this.element, "data-status", status);
    this.element.style.setProperty("--length_s", String(duration_s));
    this.element.style.setProperty("--done", String(status === "receiving" ? 1 : step / Math.max(1, total_steps)));
    setText(this.#note, status === "generating" ? `${step}/${total_steps}` : status === "complete" || status === "receiving" ? "" : facts);
    setAttribute(this.#button, "aria-label", `Segment ${index + 1}, ${sourceWords(source)}: ${prompt}. ${facts}. Go there`);
    setAttribute(this.#button, "title", `${clock(segment.start_s)} · ${facts}`);
  }

  /** @param {boolean} reachable in what the player still has, or has already */
  allow(reachable) {
    this.#button.disabled = !reachable;
  }

  /** @param {boolean} playing */
  mark(playing) {
    setFlag(this.element, "data-playing", playing);
    setAttribute(this.#button, "aria-current", String(playing));
  }

  /** @param {HTMLVideoElement} video what it shows becomes the picture */
  take(video) {
    const width = Math.round((PICTURE_HEIGHT_PX * video.videoWidth) / video.videoHeight);
    this.#picture.width = width;
    this.#picture.getContext("2d")?.drawImage(video, 0, 0, width, PICTURE_HEIGHT_PX);
    this.pictured = true;
    setFlag(this.element, "data-pictured", true);
  }
}

/** The segments of one prompt, over its words. */
class TakeRow {
  #words = el("span", { class: "take__words" });
  list = el("ol", { class: "take__segments" });
  /** @type {Map<string, Block>} */
  blocks = new Map();

  /** @param {Take} take */
  constructor({ source }) {
    this.element = el("li", { class: "take" }, this.list, el("p", { class: "take__label" }, icon(ICONS[source] ?? "user"), this.#words));
  }

  /** @param {Take} take @param {(serial: number) => void} seek */
  draw({ prompt, segments }, seek) {
    setText(this.#words, prompt);
    setAttribute(this.#words, "title", prompt);
    drawList(this.list, this.blocks, segments, {
      key: ({ serial }) => String(serial),
      create: ({ serial }) => new Block(() => seek(serial)),
      draw: (block, segment) => block.draw(segment),
    });
  }
}

/**
 * @param {import("../store.js").Store<AppState>} store
 * @param {import("../media/player.js").Player} player
 */
export function showTimeline(store, player) {
  const list = byId("segments", HTMLOListElement);
  const next = byId("upcoming", HTMLUListElement);
  const scroller = byId("timeline-scroll", HTMLElement);
  const playhead = byId("playhead", HTMLElement);
  /** @type {Map<string, TakeRow>} */
  const takes = new Map();
  /** @type {Map<number, Block>} */
  const blocks = new Map();
  /** @type {Block | undefined} */
  let playing;
  let scrolled_ms = -FOLLOW_AFTER_MS;

  for (const event of ["wheel", "pointerdown", "keydown"]) {
    scroller.addEventListener(event, () => (scrolled_ms = performance.now()), { passive: true });
  }

  /** @param {number} serial */
  const seek = (serial) => {
    const segment = store.state.session.segments.find((one) => one.serial === serial);
    if (segment) player.seek(segment.start_s + 0.01);
  };

  store.watch(
    (state) => state.session.segments,
    (segments) => {
      drawList(list, takes, takesOf(segments), {
        key: ({ key }) => key,
        create: (take) => new TakeRow(take),
        draw: (row, take) => row.draw(take, seek),
      });
      const before = blocks.size;
      blocks.clear();
      for (const row of takes.values()) for (const [serial, block] of row.blocks) blocks.set(Number(serial), block);
      if (blocks.size > before && performance.now() - scrolled_ms > FOLLOW_AFTER_MS) scroller.scrollLeft = scroller.scrollWidth;
    },
  );

  store.watch(
    (state) => JSON.stringify(upcoming(state)),
    (_, state) => {
      const items = upcoming(state).map((text) => el("li", { class: "take take--next", title: text }, el("p", { class: "take__words" }, text)));
      next.replaceChildren(...items);
    },
  );

  store.watch(
    (state) => state.playback,
    ({ start_s, end_s }, { session }) => {
      for (const { serial, start_s: from_s, duration_s } of session.segments) {
        blocks.get(serial)?.allow(end_s > 0 && from_s + duration_s > start_s + 0.1 && from_s < end_s - 0.05);
      }
    },
  );

  /** @param {number} position_s */
  const follow = (position_s) => {
    const segment = segmentAt(store.state.session.segments, position_s);
    const block = segment && blocks.get(segment.serial);
    playhead.hidden = !block;
    if (!segment || !block) return;
    const part = Math.min(1, Math.max(0, (position_s - segment.start_s) / segment.duration_s));
    const x = block.element.offsetLeft + part * block.element.offsetWidth;
    playhead.style.transform = `translateX(${x.toFixed(1)}px)`;
    if (block !== playing) {
      playing?.mark(false);
      block.mark(true);
      playing = block;
    }
    if (!block.pictured && position_s - segment.start_s >= PICTURE_AFTER_S) block.take(player.video);
    if (performance.now() - scrolled_ms > FOLLOW_AFTER_MS) {
      const right = scroller.scrollLeft + scroller.clientWidth;
      if (x > right - 60 || x < scroller.scrollLeft) scroller.scrollLeft = x - scroller.clientWidth / 2;
    }
  };
  playhead.hidden = true;
  onEachFrame(player.video, follow);
}
