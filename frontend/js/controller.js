import { Connection } from "./connection.js";
import { Heartbeat, playbackStatus } from "./heartbeat.js";
import { Feed } from "./media/feed.js";
import { Recording } from "./media/recording.js";
import * as prompts from "./prompts.js";
import * as sessions from "./session.js";
import { forgotten, noted, promptStep } from "./undo.js";
import { ViewerFiles } from "./viewer_files.js";
import { problemWords } from "./wording.js";

/**
 * @typedef {import("./protocol.js").ServerMessage} ServerMessage
 * @typedef {import("./state.js").AppState} AppState
 * @typedef {import("./state.js").Toggle} Toggle
 */

const RECORDING_LIMIT_BYTES = 512 * 1024 * 1024;

/**
 * Turns what the viewer does into messages, and what the server sends into state and media. Events: `begin` when a new stream begins,
 * `refused` when the server wants another key, and `message` with each message of the server as detail, once it is noted.
 */
export class Controller extends EventTarget {
  #store;
  #player;
  #url;
  #access;
  #clientId;
  /** @type {Connection | null} */
  #connection = null;
  #recording = new Recording({ limit_bytes: RECORDING_LIMIT_BYTES });
  #feed;
  #requests = 0;
  #heartbeat = new Heartbeat(
    (message) => this.send(message),
    () => playbackStatus(this.#player.stats),
  );
  /** What the viewer hands in and takes away. */
  files;

  /**
   * @param {object} parts
   * @param {import("./store.js").Store<AppState>} parts.store
   * @param {import("./media/player.js").Player} parts.player
   * @param {string} parts.url of the stream
   * @param {import("./access.js").Access} parts.access
   * @param {string} parts.clientId
   */
  constructor({ store, player, url, access, clientId }) {
    super();
    this.#store = store;
    this.#player = player;
    this.#feed = new Feed(player);
    this.#url = url;
    this.#access = access;
    this.#clientId = clientId;
    this.files = new ViewerFiles(store, (tone, title, detail) => this.notify(tone, title, detail));
    player.addEventListener("change", () => store.update((state) => ({ ...state, playback: player.stats })));
    player.addEventListener("firstframe", () => this.#changeSession((session) => sessions.firstFrameShown(session, performance.now())));
    player.addEventListener("problem", (event) => this.#mediaFailed(/** @type {CustomEvent} */ (event).detail));
    store.watch(
      (state) => sessions.isExpecting(state.session),
      (expecting) => player.setExpecting(expecting),
    );
  }

  /**
   * Sends a prompt, and starts a stream when none is there.
   * @param {string} text
   */
  submit(text) {
    const prompt = text.trim();
    if (!prompt) return;
    const { session, snapshot } = this.#store.state;
    if (!sessions.isOpen(session) || session.stopping || snapshot) this.begin([]);
    this.ask(prompt, "user");
  }

  /**
   * Lines a prompt up behind those that wait.
   * @param {string} text
   * @param {"user" | "curated"} source
   * @returns {string} its request id
   */
  ask(text, source) {
    this.#requests += 1;
    const requestId = `p${this.#requests}`;
    this.#changePrompts((list) => prompts.asked(list, { requestId, text, source }, performance.now()));
    this.#store.update((state) => ({
      ...state,
      lastStart: state.lastStart && { ...state.lastStart, prompt: state.lastStart.prompt || text },
    }));
    this.#sendNext();
    return requestId;
  }

  /** @param {string} requestId @param {string} text */
  editPrompt(requestId, text) {
    this.#editPrompts((list) => prompts.edited(list, requestId, text), "edited", requestId);
  }

  /** @param {string} requestId @param {number} to index among all prompts */
  movePrompt(requestId, to) {
    this.#editPrompts((list) => prompts.moved(list, requestId, to), "moved", requestId);
  }

  /** @param {Toggle} name @param {boolean} on */
  setToggle(name, on) {
    this.#store.update((state) => ({ ...state, toggles: { ...state.toggles, [name]: on } }));
    if (this.#store.state.session.phase !== "active") return;
    if (name === "keepGoing") this.send({ type: "auto_extension_updated", enabled: on });
    if (name === "loop") this.send({ type: "loop_generation_updated", enabled: on });
    if (name === "enhance") this.send({ type: "enhancement_updated", enabled: on });
  }

  /** @param {Partial<AppState["advanced"]>} change */
  setAdvanced(change) {
    this.#store.update((state) => ({ ...state, advanced: { ...state.advanced, ...change } }));
  }

  /** Asks for the state, which becomes a file when it is here. */
  saveSnapshot() {
    this.send({ type: "snapshot_state" });
  }

  /** @param {boolean} paused */
  pauseGeneration(paused) {
    if (this.#store.state.session.phase !== "active") return;
    this.send({ type: "generation_paused_updated", paused });
    this.#changeSession((session) => sessions.pauseAsked(session, paused));
  }

  cancelSegment() {
    const { session } = this.#store.state;
    if (session.cancelling || !sessions.runningSegment(session)) return;
    this.send({ type: "segment_cancel" });
    this.#changeSession(sessions.cancelAsked);
  }

  /** Ends the stream; while it has not begun, leaves the queue. */
  stop() {
    const { session } = this.#store.state;
    if (!sessions.isOpen(session) || session.stopping) return;
    if (session.phase === "active") {
      this.send({ type: "session_stop" });
      this.#changeSession(sessions.stopAsked);
      return;
    }
    this.#leave();
    this.#changeSession(() => sessions.newSession());
  }

  async download() {
    await this.files.saveRecording(this.#recording);
  }

  /** A picture is on screen. @param {number} position_s */
  pictureShown(position_s) {
    this.#changeSession((session) => sessions.pictureShown(session, position_s, performance.now()));
  }

  /** @param {string} requestId */
  dismissPrompt(requestId) {
    this.#editPrompts((list) => prompts.dismissed(list, requestId), "removed", requestId);
  }

  /** @param {number} id */
  dismissNotice(id) {
    this.#store.update((state) => ({ ...state, notices: state.notices.filter((notice) => notice.id !== id) }));
  }

  /**
   * Opens a new stream in the place of the one that is there.
   * @param {string[]} curated prompts that the server may take by itself
   */
  begin(curated) {
    this.#leave();
    this.#feed.close();
    this.#recording = new Recording({ limit_bytes: RECORDING_LIMIT_BYTES });
    this.#store.update((state) => ({
      ...state,
      session: sessions.connect(performance.now()),
      recording: { bytes: 0, dropped: 0 },
      lastStart: { prompt: "", story: state.story.playing },
      notices: [],
      undo: forgotten(state.undo, "queue"),
    }));
    this.dispatchEvent(new Event("begin"));
    /** @type {Connection} */
    const connection = new Connection(
      this.#url,
      {
        open: () => this.#opened(curated),
        message: (message) => this.#received(message),
        media: (bytes) => this.#gotMedia(bytes),
        reconnecting: (on) => this.#changeSession((session) => sessions.reconnecting(session, on)),
        refused: () => this.#refused(),
        close: (close) => this.#closed(close),
      },
      () => this.#access.subprotocols(),
    );
    this.#connection = connection;
  }

  /** @param {string[]} curated */
  #opened(curated) {
    const { presets, story, toggles, image, snapshot, record, info } = this.#store.state;
    const chosen = presets.find((one) => one.name === story.preset);
    this.send({
      type: "session_init_v2",
      client_id: this.#clientId,
      ...(chosen && { preset: chosen.name, preset_label: chosen.label }),
      curated_prompts: curated,
      ...(image && { initial_image: { mime: image.mime, name: image.name, data: image.data } }),
      enhancement_enabled: toggles.enhance,
      auto_extension_enabled: toggles.keepGoing,
      loop_generation_enabled: toggles.loop,
      single_clip_mode: toggles.singleClip,
      ...(snapshot && { continuation_state: snapshot.state }),
      ...(record && info?.features.recordings && { record: true }),
    });
    this.#store.update((state) => ({ ...state, snapshot: null }));
  }

  /** Hands the next prompt to the server, unless one waits there. */
  #sendNext() {
    const { session, advanced } = this.#store.state;
    const prompt = session.phase === "active" && !session.stopping ? prompts.toSend(session.prompts) : undefined;
    if (!prompt) return;
    const { seed, steps, negative } = advanced;
    this.send({
      type: "segment_prompt_source",
      prompt: prompt.text,
      source: prompt.source,
      request_id: prompt.requestId,
      ...(seed !== null && { seed }),
      ...(steps !== null && { num_inference_steps: steps }),
      ...(negative && { negative_prompt: negative }),
    });
    this.#changePrompts((list) => prompts.changed(list, prompt.requestId, { state: "sending" }));
  }

  /** @param {import("./protocol.js").ClientMessage} message */
  send(message) {
    this.#connection?.send(message);
  }

  /** @param {ServerMessage} message */
  #received(message) {
    const now_ms = performance.now();
    if (message.type === "pong") {
      const trip_ms = this.#heartbeat.answered(Number(message.id));
      if (trip_ms !== null) this.#changeSession((session) => sessions.roundTripMeasured(session, trip_ms));
      return;
    }
    this.#changeSession((session) => sessions.receive(session, message, now_ms));
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
    this.#feed.receive(message);
    const { session } = this.#store.state;
    switch (message.type) {
      case "ltx2_stream_start":
        this.#sendNext();
        this.#heartbeat.start();
        return;
      case "prompt_status":
        this.#sendNext();
        return;
      case "continuation_state_snapshot":
        this.files.saveSnapshot(message.state);
        return;
      case "error": {
        this.#sendNext();
        // Before the stream starts the close follows, and the ending tells the same.
        if (session.phase !== "active" || !session.problem) return;
        const { title, detail } = problemWords(session.problem);
        this.notify("bad", title, detail);
      }
    }
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes */
  #gotMedia(bytes) {
    this.#recording.accept(bytes);
    const { bytes: size, dropped } = this.#recording;
    this.#store.update((state) => ({ ...state, recording: { bytes: size, dropped } }));
    this.#feed.append(bytes);
  }

  #refused() {
    this.#received({ type: "error", code: "session_rejected", message: "", retryable: false, reason: "unauthorized" });
    // The close that follows is noted before anybody asks for a key.
    queueMicrotask(() => this.dispatchEvent(new Event("refused")));
  }

  /** @param {{code: number, opened: boolean}} close */
  #closed(close) {
    this.#leave();
    this.#changeSession((session) => sessions.connectionClosed(session, close));
    this.#player.finish();
  }

  #leave() {
    this.#heartbeat.stop();
    this.#connection?.abandon();
    this.#connection = null;
  }

  /** @param {unknown} problem */
  #mediaFailed(problem) {
    console.error(problem);
    const unsupported = problem instanceof DOMException && problem.name === "NotSupportedError";
    this.notify(
      "bad",
      unsupported ? "This browser can't play the stream" : "Playback broke down",
      unsupported ? "Use a current Chrome, Edge, Firefox or Safari." : "Stop, then start again. What has arrived can still be downloaded.",
    );
  }

  /** @param {"good" | "bad"} tone @param {string} title @param {string} detail */
  notify(tone, title, detail) {
    this.#store.update((state) => {
      const id = state.noticeCount + 1;
      return { ...state, noticeCount: id, notices: [...state.notices.slice(-2), { id, tone, title, detail }] };
    });
  }

  /**
   * A change by the viewer, which can be taken back.
   * @param {(list: prompts.Prompt[]) => prompts.Prompt[]} change
   * @param {import("./undo.js").Step["kind"]} kind
   * @param {string} requestId
   */
  #editPrompts(change, kind, requestId) {
    const before = this.#store.state.session.prompts;
    this.#changePrompts(change);
    const step = this.#store.state.session.prompts === before ? null : promptStep(before, kind, requestId);
    if (step) this.#store.update((state) => ({ ...state, undo: noted(state.undo, step) }));
  }

  /** @param {(list: prompts.Prompt[]) => prompts.Prompt[]} change */
  #changePrompts(change) {
    this.#changeSession((session) => sessions.promptsChanged(session, change));
  }

  /** @param {(session: sessions.Session) => sessions.Session} change */
  #changeSession(change) {
    this.#store.update((state) => {
      const session = change(state.session);
      return session === state.session ? state : { ...state, session };
    });
  }
}
