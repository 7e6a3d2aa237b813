import { byId, el, icon, setFlag, setText } from "../dom.js";
import { secondsShort, times } from "../format.js";
import { onEachFrame } from "../media/frames.js";
import { segmentAt } from "../session.js";
import { sourceWords } from "../wording.js";

/**
 * @typedef {import("../session.js").Segment} Segment
 * @typedef {{item: HTMLLIElement, title: HTMLElement, facts: HTMLElement, source: Element, picture: HTMLCanvasElement, button: HTMLButtonElement, pictured: boolean}} Block
 */

/** A picture is taken a little into the segment, where it has got going. */
const PICTURE_AFTER_S = 0.4;
/** Blocks in the strip; what plays longer ago than this has left the player's memory. */
const SHOWN = 40;
/** The strip follows the playhead unless the viewer has scrolled it just now. */
const FOLLOW_AFTER_MS = 4000;

/** @type {Record<string, string>} */
const ICONS = { user: "user", curated: "story", enhanced: "spark", auto_extension: "spark" };

/**
 * The small print of a block.
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
      return "Cancelled";
    case "failed":
      return "Failed";
    case "complete": {
      if (!segment.generation_ms) return length;
      return `${length} in ${secondsShort(segment.generation_ms / 1000)} · ${times((segment.duration_s * 1000) / segment.generation_ms)}`;
    }
  }
}

/**
 * @param {import("../store.js").Store<import("../state.js").AppState>} store
 * @param {import("../media/player.js").Player} player
 */
export function showTimeline(store, player) {
  const list = byId("segments", HTMLOListElement);
  const scroller = byId("timeline-scroll", HTMLElement);
  const playhead = byId("playhead", HTMLElement);
  /** @type {Map<number, Block>} */
  const blocks = new Map();
  /** @type {HTMLLIElement[]} */
  let waiting = [];
  /** @type {Block | undefined} */
  let playing;
  let scrolled_ms = -FOLLOW_AFTER_MS;

  for (const event of ["wheel", "pointerdown", "keydown"]) {
    scroller.addEventListener(event, () => (scrolled_ms = performance.now()), { passive: true });
  }

  store.watch(
    (state) => state.session.segments,
    (all) => {
      const segments = all.slice(-SHOWN);
      for (const index of [...blocks.keys()]) {
        if (segments.some((segment) => segment.index === index)) continue;
        blocks.get(index)?.item.remove();
        blocks.delete(index);
      }
      for (const segment of segments) {
        let block = blocks.get(segment.index);
        if (!block) {
          block = newBlock(segment, () => {
            const now = store.state.session.segments.find((one) => one.index === segment.index);
            if (now) player.seek(now.start_s + 0.01);
          });
          blocks.set(segment.index, block);
          list.insertBefore(block.item, waiting[0] ?? null);
          if (performance.now() - scrolled_ms > FOLLOW_AFTER_MS) scroller.scrollLeft = scroller.scrollWidth;
        }
        drawBlock(block, segment);
      }
    },
  );

  store.watch(
    (state) => state.session.prompts,
    (prompts) => {
      for (const item of waiting) item.remove();
      waiting = prompts.filter((prompt) => prompt.state !== "rejected").map((prompt) => waitingBlock(prompt.text));
      list.append(...waiting);
    },
  );

  /** @param {number} position_s */
  const follow = (position_s) => {
    const segment = segmentAt(store.state.session, position_s);
    const block = segment && blocks.get(segment.index);
    playhead.hidden = !block;
    if (!segment || !block) return;
    const part = Math.min(1, Math.max(0, (position_s - segment.start_s) / segment.duration_s));
    const x = block.item.offsetLeft + part * block.item.offsetWidth;
    playhead.style.transform = `translateX(${x.toFixed(1)}px)`;
    if (block !== playing) {
      mark(playing, false);
      mark(block, true);
      playing = block;
    }
    if (!block.pictured && position_s - segment.start_s >= PICTURE_AFTER_S) takePicture(block, player.video);
    if (performance.now() - scrolled_ms > FOLLOW_AFTER_MS) {
      const right = scroller.scrollLeft + scroller.clientWidth;
      if (x > right - 60 || x < scroller.scrollLeft) scroller.scrollLeft = x - scroller.clientWidth / 2;
    }
  };
  playhead.hidden = true;
  onEachFrame(player.video, follow);
}

/** @param {Segment} segment @param {() => void} seek @returns {Block} */
function newBlock(segment, seek) {
  const picture = el("canvas", { class: "segment__picture", width: 208, height: 117, "aria-hidden": "true" });
  const title = el("span", { class: "segment__title" });
  const source = icon(ICONS[segment.source] ?? "user");
  const text = el("span");
  const facts = el("span", { class: "segment__facts" }, source, text);
  const button = el("button", { type: "button", class: "segment__button" }, picture, title, facts, el("span", { class: "segment__bar" }));
  button.addEventListener("click", seek);
  const item = el("li", { class: "segment" }, button);
  return { item, title, facts: text, source, picture, button, pictured: false };
}

/** @param {Block} block @param {Segment} segment */
function drawBlock({ item, title, facts, button }, segment) {
  item.dataset.status = segment.status;
  item.style.setProperty("--length_s", String(segment.duration_s));
  item.style.setProperty("--done", String(segment.status === "receiving" ? 1 : segment.step / Math.max(1, segment.total_steps)));
  const words = segmentFacts(segment);
  setText(title, segment.prompt);
  setText(facts, words);
  const label = `Segment ${segment.index + 1}, ${sourceWords(segment.source)}: ${segment.prompt}. ${words}. Go there`;
  if (button.getAttribute("aria-label") !== label) button.setAttribute("aria-label", label);
  button.title = segment.prompt;
}

/** @param {Block | undefined} block @param {boolean} playing */
function mark(block, playing) {
  if (!block) return;
  setFlag(block.item, "data-playing", playing);
  block.button.setAttribute("aria-current", String(playing));
}

/** @param {string} text */
function waitingBlock(text) {
  const facts = el("span", { class: "segment__facts" }, "Up next");
  return el("li", { class: "segment segment--waiting" }, el("div", { class: "segment__button" }, el("span", { class: "segment__title" }, text), facts));
}

/** @param {Block} block @param {HTMLVideoElement} video */
function takePicture(block, video) {
  const { picture } = block;
  const scale = Math.max(picture.width / video.videoWidth, picture.height / video.videoHeight);
  const width = video.videoWidth * scale;
  const height = video.videoHeight * scale;
  picture.getContext("2d")?.drawImage(video, (picture.width - width) / 2, (picture.height - height) / 2, width, height);
  block.pictured = true;
  setFlag(block.item, "data-pictured", true);
}
