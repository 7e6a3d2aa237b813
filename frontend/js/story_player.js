import { isWaiting } from "./prompts.js";
import { MAX_TARGETS, alternativeGone, noRewrite, rewriteAnswered, rewriteAsked, rewriteRefused, wanted } from "./rewrite.js";
import { isOpen, runningSegment } from "./session.js";
import * as stories from "./story.js";
import { forgotten, noted, sceneStep, takenBack } from "./undo.js";

/**
 * @typedef {import("./state.js").AppState} AppState
 * @typedef {import("./protocol.js").ServerMessage} ServerMessage
 * @typedef {import("./protocol.js").ClientMessage} ClientMessage
 *
 * @typedef {object} Stream what the story needs of it: see `Controller`
 * @property {(curated: string[]) => void} begin
 * @property {(text: string) => void} submit
 * @property {(message: ClientMessage) => void} send
 * @property {(text: string, source: "user" | "curated") => string} ask
 */

/** Scenes that this page has to ask for itself are asked for when the viewer comes this close to the end of what was made. */
const ASK_AHEAD_S = 4;

/**
 * Plays the story on the board. A server that goes on by itself gets the scenes to come, anew after each change, and takes them one after
 * the other; otherwise this asks for each scene when its time has come.
 */
export class StoryPlayer {
  #store;
  #stream;
  /** The server has a list that is not empty. */
  #told = false;
  /** @type {Map<string, string>} scenes that were asked for, by request id */
  #asked = new Map();

  /**
   * @param {import("./store.js").Store<AppState>} store
   * @param {Stream} stream
   */
  constructor(store, stream) {
    this.#store = store;
    this.#stream = stream;
    store.watch((state) => `${state.toggles.loop} ${state.toggles.keepGoing}`, () => this.#tell());
    store.watch(
      (state) => isOpen(state.session),
      (open) => {
        if (!open) this.#change((story) => stories.playingSet(story, false));
      },
    );
    store.watch((state) => this.#due(state), (due) => due && this.#askFor(due));
  }

  /**
   * Puts a story on the board in the place of the one that is there. The stream stays as it is, until `play`.
   * @param {import("./library.js").Choice} choice
   */
  choose({ name, preset, scenes, toggles }) {
    this.#store.update((state) => ({
      ...state,
      boardOpen: true,
      story: stories.newStory(scenes, { name, preset }),
      undo: forgotten(state.undo, "story"),
      toggles: { ...state.toggles, ...toggles, singleClip: isOpen(state.session) ? state.toggles.singleClip : toggles.singleClip },
    }));
    this.#tell();
  }

  /** Goes on with the scenes to come, from the first one when there are none; starts a stream when none is there. */
  play() {
    const { session, snapshot, story } = this.#store.state;
    if (story.scenes.length === 0) return;
    const open = isOpen(session) && !session.stopping && !snapshot;
    this.#change((now) => stories.playingSet(!open || stories.toCome(now).length === 0 ? stories.rewound(now) : now, true));
    if (open) this.#tell();
    else this.#begin();
  }

  /** Starts over with what started the last stream. */
  startAgain() {
    const { lastStart, session } = this.#store.state;
    if (lastStart?.story) this.play();
    else this.#stream.submit(lastStart?.prompt || session.segments[0]?.prompt || "");
  }

  /** No further scene starts by itself. */
  hold() {
    this.#change((story) => stories.playingSet(story, false));
    this.#tell();
  }

  /** @param {string} text */
  add(text) {
    this.#edit((story) => stories.sceneAdded(story, text));
  }

  /** @param {string} id @param {string} text */
  edit(id, text) {
    this.#edit((story) => stories.sceneEdited(story, id, text), "edited", id);
  }

  /** @param {string} id */
  remove(id) {
    this.#edit((story) => stories.sceneRemoved(story, id), "removed", id);
  }

  /** @param {string} id @param {number} to index in the story */
  move(id, to) {
    this.#edit((story) => stories.sceneMoved(story, id, to), "moved", id);
  }

  /** Takes the newest change of the board back. @returns {import("./undo.js").Step | null} what was taken back */
  undo() {
    const before = this.#store.state;
    const { state, step } = takenBack(before);
    this.#store.update(() => state);
    if (state.story !== before.story) this.#tell();
    return step;
  }

  /** @param {string} name */
  rename(name) {
    this.#change((story) => (story.name === name ? story : { ...story, name, changed: true }));
  }

  /**
   * Asks for other words for the scenes to come, or for all when there are none; without a story, for the last prompt.
   * @param {string} instruction what to change; empty asks for variations
   */
  rewrite(instruction) {
    const { session, story } = this.#store.state;
    if (session.phase !== "active") return;
    const ahead = stories.toCome(story);
    const targets = (ahead.length > 0 ? ahead : story.scenes).slice(0, MAX_TARGETS);
    const ids = targets.map(({ id }) => id);
    this.#store.update((state) => ({ ...state, rewrite: rewriteAsked(ids) }));
    // The server rewrites its curated prompts: these for the moment, and then again what is to come.
    this.#stream.send({ type: "seed_prompts_updated", seed_prompts: targets.map(({ text }) => text) });
    this.#stream.send({ type: "rewrite_seed_prompts", count: wanted(ids), ...(instruction && { instruction }) });
    this.#told = true;
    this.#tell();
  }

  /** Puts an alternative in the place of its scene, or at the end when that has been played. @param {number} key */
  acceptAlternative(key) {
    const { rewrite, story } = this.#store.state;
    const alternative = rewrite.alternatives.find((one) => one.key === key);
    if (!alternative) return;
    const { target, text } = alternative;
    const waits = stories.toCome(story).some(({ id }) => id === target) || !isOpen(this.#store.state.session);
    if (target !== null && waits) this.edit(target, text);
    else this.add(text);
    // Of several ways to tell one scene, one is enough.
    if (rewrite.targets.length > 1) this.discardAlternative(key);
    else this.discardAlternatives();
  }

  /** @param {number} key */
  discardAlternative(key) {
    this.#store.update((state) => ({ ...state, rewrite: alternativeGone(state.rewrite, key) }));
  }

  discardAlternatives() {
    this.#store.update((state) => ({ ...state, rewrite: noRewrite() }));
  }

  /** A new stream begins, whoever asked for it: nothing of the story has been shown in it. */
  streamBegins() {
    this.#asked.clear();
    this.#told = false;
    this.#change(stories.rewound);
    this.#store.update((state) => ({ ...state, rewrite: rewriteRefused(state.rewrite) }));
  }

  /** @param {ServerMessage} message after it was noted in the session */
  received(message) {
    switch (message.type) {
      case "ltx2_stream_start":
        // What changed while the stream was being opened.
        this.#tell();
        return;
      case "ltx2_segment_start":
        this.#segmentStarted();
        return;
      case "segment_cancelled":
        // The server waits after a cancelled segment until it is told something.
        if (stories.toCome(this.#store.state.story).length > 0) this.#tell();
        return;
      case "rewrite_seed_prompts_complete":
        this.#store.update((state) => ({ ...state, rewrite: rewriteAnswered(state.rewrite, message) }));
        return;
      case "error":
        if (message.code === "invalid_message") this.#store.update((state) => ({ ...state, rewrite: rewriteRefused(state.rewrite) }));
        return;
      case "prompt_status": {
        const id = this.#asked.get(message.request_id);
        if (id !== undefined && message.status === "rejected") {
          this.#change((story) => stories.sceneRefused(story, id, message.reason ?? ""));
        }
      }
    }
  }

  #begin() {
    const { story, toggles } = this.#store.state;
    const curated = goesByItself(toggles) ? stories.plan(story, toggles.loop) : [];
    this.#stream.begin(curated);
    this.#told = curated.length > 0;
  }

  #segmentStarted() {
    const segment = this.#store.state.session.segments.at(-1);
    if (!segment) return;
    const id = segment.requestId === null ? null : (this.#asked.get(segment.requestId) ?? null);
    if (id === null && (segment.requestId !== null || segment.source !== "curated")) return;
    this.#change((story) => stories.sceneTaken(story, { segment: segment.serial, text: segment.original, id }));
  }

  /** The scene that this page has to ask for now. @param {AppState} state @returns {stories.Scene | null} */
  #due({ session, story, toggles, playback }) {
    if (!story.playing || goesByItself(toggles) || session.phase !== "active" || session.paused || session.stopping) return null;
    if (session.applying !== null || runningSegment(session) || session.prompts.some(isWaiting)) return null;
    const last = session.segments.at(-1);
    if (last && last.start_s + last.duration_s - playback.position_s > ASK_AHEAD_S) return null;
    return stories.toCome(story)[0] ?? (toggles.loop ? (story.scenes[0] ?? null) : null);
  }

  /** @param {stories.Scene} scene */
  #askFor(scene) {
    this.#asked.set(this.#stream.ask(scene.text, "curated"), scene.id);
  }

  /** Lets the server know what is to come. */
  #tell() {
    const { session, story, toggles } = this.#store.state;
    if (session.phase !== "active" || session.stopping) return;
    const prompts = story.playing && goesByItself(toggles) ? stories.plan(story, toggles.loop) : [];
    if (prompts.length === 0 && !this.#told) return;
    this.#told = prompts.length > 0;
    // The server passes over the first one when the running segment has the same words.
    const running = runningSegment(session);
    const again = running?.source === "curated" && running.original === prompts[0];
    this.#stream.send({ type: "seed_prompts_updated", seed_prompts: again ? [prompts[0], ...prompts] : prompts });
  }

  /**
   * @param {(story: stories.Story) => stories.Story} change
   * @param {import("./undo.js").Step["kind"]} [kind] with the scene's `id`, for what can be taken back
   * @param {string} [id]
   */
  #edit(change, kind, id) {
    const before = this.#store.state.story;
    this.#change(change);
    if (this.#store.state.story === before) return;
    const step = kind && id ? sceneStep(before, kind, id) : null;
    if (step) this.#store.update((state) => ({ ...state, undo: noted(state.undo, step) }));
    this.#tell();
  }

  /** @param {(story: stories.Story) => stories.Story} change */
  #change(change) {
    this.#store.update((state) => {
      const story = change(state.story);
      return story === state.story ? state : { ...state, story };
    });
  }
}

/** Whether the server takes scenes by itself. @param {AppState["toggles"]} toggles */
const goesByItself = ({ loop, keepGoing, singleClip }) => (loop || keepGoing) && !singleClip;
