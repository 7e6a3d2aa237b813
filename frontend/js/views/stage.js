import { byId, el, icon, setFlag, setText } from "../dom.js";
import { wait } from "../format.js";
import { onEachFrame } from "../media/frames.js";
import { isWaiting } from "../prompts.js";
import { segmentAt } from "../segments.js";
import { runningSegment } from "../session.js";
import { blockedWords, endingWords, stageWords } from "../wording.js";

/**
 * @typedef {import("../state.js").AppState} AppState
 * @typedef {"hero" | "wait" | "over" | "failed" | "none"} Cover
 * @typedef {{label: string, icon: string, primary: boolean, run: "again" | "leave" | "download"}} Action
 * @typedef {{title: string, detail: string, busy: boolean, done: number | null, mark: string, actions: Action[]}} CoverText
 */

const GLOW_EVERY_MS = 250;
/** The picture without its outermost rows and columns, where coded pictures are roughest and marks are burnt in. */
const EDGE = 0.06;
/** Empty part of the small canvas on each side. */
const GLOW_MARGIN = 0.16;

/**
 * What lies over the picture.
 * @param {Pick<AppState, "session" | "playback">} state
 * @returns {Cover}
 */
export function coverOf({ session, playback }) {
  if (session.phase === "idle") return "hero";
  if (session.phase === "ended") {
    if (playback.end_s === 0) return "failed";
    return playback.state === "ended" ? "over" : "none";
  }
  return session.firstFrame_ms === null ? "wait" : "none";
}

/**
 * @param {Pick<AppState, "session" | "recording">} state
 * @returns {CoverText}
 */
export function coverText({ session, recording }) {
  const busy = { detail: "", busy: true, done: null, mark: "", actions: [] };
  if (session.ending) {
    /** @type {Action[]} */
    const actions = [{ label: "Start again", icon: "replay", primary: true, run: "again" }];
    if (recording.bytes > 0) actions.push({ label: "Download", icon: "download", primary: false, run: "download" });
    return { ...busy, ...endingWords(session.ending, session.problem), busy: false, actions };
  }
  if (session.phase === "queued" && session.queue) {
    const { ahead, eta_ms } = session.queue;
    return {
      ...busy,
      title: ahead === 0 ? "You are next" : `${ahead} ahead of you`,
      detail: eta_ms ? `Your turn in ${wait(eta_ms)}. It begins by itself.` : "It begins by itself when a worker is free.",
      mark: String(ahead + 1),
      actions: [{ label: "Leave the queue", icon: "close", primary: false, run: "leave" }],
    };
  }
  if (session.phase === "connecting") return { ...busy, title: "Connecting" };
  if (session.phase !== "active") return { ...busy, title: "Getting a worker ready" };
  const running = runningSegment(session);
  if (running) {
    const { step, total_steps } = running;
    return {
      title: `Making the ${running.index === 0 ? "first" : "next"} segment`,
      detail: step < total_steps ? `${stageWords(running.stage)}, step ${step} of ${total_steps}` : "The first picture is on its way",
      busy: step === 0,
      done: step > 0 && total_steps > 0 ? step / total_steps : null,
      mark: step > 0 ? `${Math.round((100 * step) / total_steps)}%` : "",
      actions: [],
    };
  }
  if (session.prompts.some(isWaiting)) return { ...busy, title: "Sending your prompt" };
  return { ...busy, busy: false, title: "Ready when you are", detail: "Type a prompt below." };
}

/**
 * The line over a picture that stands still or is about to end.
 * @param {Pick<AppState, "session" | "playback">} state
 * @returns {{text: string, calm: boolean} | null}
 */
export function hintText({ session, playback }) {
  if (session.phase === "ended") {
    return playback.state === "playing" ? { text: "The stream has ended; this is the rest of it.", calm: true } : null;
  }
  // Before the first picture the cover says it.
  if (session.phase !== "active" || session.firstFrame_ms === null || playback.state === "playing" || playback.state === "paused" || playback.state === "empty") return null;
  const running = runningSegment(session);
  if (running) {
    const steps = running.step < running.total_steps ? `, step ${running.step} of ${running.total_steps}` : "";
    return { text: `Making the next segment${steps}`, calm: false };
  }
  if (session.paused) return { text: "Generation is paused.", calm: true };
  return { text: blockedWords(session.blocked), calm: true };
}

/**
 * @param {import("../store.js").Store<AppState>} store
 * @param {import("../controller.js").Controller} controller
 * @param {import("../story_player.js").StoryPlayer} story
 * @param {import("../media/player.js").Player} player
 */
export function showStage(store, controller, story, player) {
  const screen = byId("screen", HTMLElement);
  const cover = byId("cover", HTMLElement);
  const ring = byId("cover-ring", HTMLElement);
  const hint = byId("hint", HTMLElement);
  const actions = byId("cover-actions", HTMLElement);
  const ringValue = byId("ring-value", SVGElement);
  let shownActions = "";

  store.watch(coverOf, (kind) => {
    screen.dataset.cover = kind;
    cover.hidden = kind === "hero" || kind === "none";
  });

  store.watch(
    (state) => JSON.stringify(coverText(state)),
    (_, state) => {
      const text = coverText(state);
      setText(byId("cover-title", HTMLElement), text.title);
      setText(byId("cover-detail", HTMLElement), text.detail);
      setText(byId("ring-text", HTMLElement), "");
      ring.hidden = !text.busy && text.done === null;
      setFlag(ring, "data-busy", text.done === null);
      setText(byId("ring-text", HTMLElement), text.mark);
      ringValue.style.setProperty("--value", String(100 * (text.done ?? 0)));
      const wanted = JSON.stringify(text.actions);
      if (wanted === shownActions) return;
      shownActions = wanted;
      actions.replaceChildren(...text.actions.map((action) => actionButton(action, controller, story)));
    },
  );

  store.watch(
    (state) => JSON.stringify(hintText(state)),
    (_, state) => {
      const text = hintText(state);
      hint.hidden = text === null;
      if (!text) return;
      setText(byId("hint-text", HTMLElement), text.text);
      setFlag(hint, "data-calm", text.calm);
    },
  );

  store.watch(
    (state) => (state.session.stream ? state.session.stream.width / state.session.stream.height : state.info ? state.info.width / state.info.height : 0),
    (ratio) => {
      if (ratio > 0) byId("theatre", HTMLElement).style.setProperty("--ratio", String(ratio));
    },
  );

  const liveBadge = byId("live-badge", HTMLElement);
  const segmentBadge = byId("segment-badge", HTMLElement);
  store.watch(
    (state) => state.session.phase === "active" && state.playback.state === "playing" && state.playback.live,
    (live) => {
      liveBadge.hidden = !live;
    },
  );
  store.watch(
    (state) => (state.playback.end_s > 0 ? segmentAt(state.session.segments, state.playback.position_s)?.index : undefined),
    (index) => {
      segmentBadge.hidden = index === undefined;
      if (index !== undefined) setText(segmentBadge, `Segment ${index + 1}`);
    },
  );

  showGlow(store, player.video);
}

/**
 * @param {Action} action
 * @param {import("../controller.js").Controller} controller
 * @param {import("../story_player.js").StoryPlayer} story
 */
function actionButton(action, controller, story) {
  const button = el("button", { type: "button", class: action.primary ? "button button--primary" : "button", id: `cover-${action.run}` }, icon(action.icon), action.label);
  const run = { again: () => story.startAgain(), leave: () => controller.stop(), download: () => void controller.download() };
  button.addEventListener("click", run[action.run]);
  return button;
}

/** @param {number} width @param {number} height @param {number} part @returns {[number, number, number, number]} */
const inset = (width, height, part) => [width * part, height * part, width * (1 - 2 * part), height * (1 - 2 * part)];

/**
 * @param {import("../store.js").Store<AppState>} store
 * @param {HTMLVideoElement} video
 */
function showGlow(store, video) {
  const canvas = byId("glow", HTMLCanvasElement);
  const picture = canvas.getContext("2d");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let drawn_ms = 0;
  onEachFrame(video, () => {
    const now_ms = performance.now();
    if (!picture || calm.matches || now_ms - drawn_ms < GLOW_EVERY_MS) return;
    drawn_ms = now_ms;
    const from = inset(video.videoWidth, video.videoHeight, EDGE);
    const to = inset(canvas.width, canvas.height, GLOW_MARGIN);
    picture.clearRect(0, 0, canvas.width, canvas.height);
    picture.filter = "blur(2px) saturate(1.5)";
    picture.drawImage(video, ...from, ...to);
  });
  store.watch(
    (state) => coverOf(state) === "none" && state.playback.end_s > 0,
    (on) => setFlag(canvas, "data-on", on && !calm.matches),
  );
}
