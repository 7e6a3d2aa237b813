import { KeyRefused, tokenSubprotocols } from "./access.js";
import { Connection, streamUrl } from "./connection.js";
import { Heartbeat, playbackStatus } from "./heartbeat.js";
import { Feed } from "./media/feed.js";
import * as prompts from "./prompts.js";
import * as sessions from "./session.js";

/**
 * @typedef {import("./protocol.js").ClientMessage} ClientMessage
 * @typedef {import("./protocol.js").ServerMessage} ServerMessage
 * @typedef {import("./protocol.js").StateEnvelope} StateEnvelope
 *
 * @typedef {object} StreamOptions how a stream begins
 * @property {string[]} [prompts] a story that plays by itself, one segment after the other
 * @property {boolean} [keepGoing] go on with the last prompt when nothing else is asked for; on unless it is false
 * @property {boolean} [loop] begin the story again at its end
 * @property {boolean} [enhance] let a language model of the server's word prompts better
 * @property {boolean} [singleClip] make each prompt a clip of its own
 * @property {string} [preset]
 * @property {{mime: string, name?: string, data: string}} [image] the first picture, its bytes as base64
 * @property {StateEnvelope} [state] what `snapshot` gave, to go on from there
 *
 * @typedef {object} PromptOptions for one segment
 * @property {string} [negativePrompt]
 * @property {number} [seed]
 * @property {number} [steps]
 *
 * @typedef {Pick<import("./media/player.js").Player, "open" | "append" | "finish" | "close" | "setExpecting" | "stats">} Screen
 */

/** @type {Extract<ServerMessage, {type: "error"}>} what a server says of a key that opens nothing */
const REFUSED = { type: "error", code: "session_rejected", message: "The server asks for a key.", retryable: false, reason: "unauthorized" };

/**
 * A live stream in a player: the connection, the player and the session of the page, put together. A connection that breaks is replaced, and
 * the stream goes on where it was.
 *
 * Events: `change` when `session` is another one, `message` with each message of the server as detail, `media` with each piece of media as
 * detail (a Uint8Array), `refused` when the server asks for a key and got none that opens anything, and `close` at the end.
 */
export class LiveStream extends EventTarget {
  #player;
  #feed;
  #server;
  #key;
  #session = sessions.newSession();
  /** @type {Connection | null} */
  #connection = null;
  #requests = 0;
  /** @type {Map<string, PromptOptions>} of prompts that were not sent yet */
  #options = new Map();
  /** @type {((state: StateEnvelope | Error) => void)[]} who waits for a snapshot */
  #snapshots = [];
  #heartbeat = new Heartbeat(
    (message) => this.#send(message),
    () => playbackStatus(this.#player.stats),
  );

  /**
   * @param {Screen} player what shows it, normally a `Player`
   * @param {object} [where]
   * @param {string} [where.server] the server's address; by default that of the server this module came from
   * @param {string | null} [where.key] for servers that ask for an API key; whoever can read the page can read it
   */
  constructor(player, { server = new URL("../", import.meta.url).href, key = null } = {}) {
    super();
    this.#player = player;
    this.#feed = new Feed(player);
    this.#server = server.endsWith("/") ? server : `${server}/`;
    this.#key = key;
  }

  /** What is known of the stream, plain data that never changes: `phase`, `segments`, `prompts`, `queue`, `problem`, `ending` and more. */
  get session() {
    return this.#session;
  }

  /**
   * Begins a stream, in the place of the one that is there.
   * @param {string} prompt what to begin with; may be empty
   * @param {StreamOptions} [options]
   * @returns {string | null} the prompt's request id
   */
  start(prompt, options = {}) {
    this.#leave();
    this.#feed.close();
    this.#options.clear();
    this.#change(sessions.connect(performance.now()));
    this.#connection = new Connection(
      streamUrl({ href: this.#server }),
      {
        open: () => this.#send(opening(options)),
        message: (message) => this.#received(message),
        media: (bytes) => {
          this.#feed.append(bytes);
          this.dispatchEvent(new CustomEvent("media", { detail: bytes }));
        },
        reconnecting: (on) => this.#change(sessions.reconnecting(this.#session, on)),
        refused: () => this.#refused(),
        close: (close) => void this.#closed(close),
      },
      () => this.#subprotocols(),
    );
    return prompt ? this.prompt(prompt) : null;
  }

  /**
   * Asks for a segment, after those that were asked for; `session.prompts` tells what becomes of it.
   * @param {string} text
   * @param {PromptOptions} [options]
   * @returns {string} its request id
   */
  prompt(text, options = {}) {
    if (!sessions.isOpen(this.#session)) throw new Error("expected a stream that was started and goes on; call start first");
    this.#requests += 1;
    const requestId = `p${this.#requests}`;
    this.#options.set(requestId, options);
    this.#changePrompts((list) => prompts.asked(list, { requestId, text, source: "user" }, performance.now()));
    this.#sendNext();
    return requestId;
  }

  /**
   * Changes how the stream goes on by itself, from the next segment on.
   * @param {{keepGoing?: boolean, loop?: boolean, enhance?: boolean, prompts?: string[]}} change what is absent stays as it is
   */
  steer({ keepGoing, loop, enhance, prompts: story }) {
    if (keepGoing !== undefined) this.#send({ type: "auto_extension_updated", enabled: keepGoing });
    if (loop !== undefined) this.#send({ type: "loop_generation_updated", enabled: loop });
    if (enhance !== undefined) this.#send({ type: "enhancement_updated", enabled: enhance });
    if (story !== undefined) this.#send({ type: "seed_prompts_updated", seed_prompts: story });
  }

  /** Drops the segment that is being made; the stream goes on with the next prompt. */
  cancel() {
    this.#send({ type: "segment_cancel" });
    this.#change(sessions.cancelAsked(this.#session));
  }

  /** Holds generation after the running segment, or lets it go on; playback is the player's. @param {boolean} [paused] */
  pause(paused = true) {
    this.#send({ type: "generation_paused_updated", paused });
    this.#change(sessions.pauseAsked(this.#session, paused));
  }

  /** @returns {Promise<StateEnvelope>} where the stream stands, for another one to go on from; rejects when there is nothing yet */
  snapshot() {
    if (this.#session.phase !== "active") return Promise.reject(new Error("expected a stream that goes on"));
    return new Promise((resolve, reject) => {
      this.#snapshots.push((state) => (state instanceof Error ? reject(state) : resolve(state)));
      this.#send({ type: "snapshot_state" });
    });
  }

  /** Ends the stream cleanly; what was made plays to its end. One that waits in the queue leaves it. */
  stop() {
    if (this.#session.phase === "active") {
      this.#send({ type: "session_stop" });
      this.#change(sessions.stopAsked(this.#session));
    } else if (sessions.isOpen(this.#session)) {
      this.close();
    }
  }

  /** Leaves at once, and empties the player. */
  close() {
    this.#leave();
    this.#feed.close();
    this.#change(sessions.newSession());
  }

  /** @returns {Promise<string[]> | null} */
  #subprotocols() {
    return this.#key === null ? null : this.#askForToken({ authorization: `Bearer ${this.#key}` });
  }

  /** @param {Record<string, string>} headers */
  #askForToken(headers) {
    return tokenSubprotocols(new URL("v1/stream/tokens", this.#server).href, headers);
  }

  #refused() {
    this.#change(sessions.receive(this.#session, REFUSED, performance.now()));
    this.dispatchEvent(new Event("refused"));
  }

  /** @param {ServerMessage} message */
  #received(message) {
    if (message.type === "pong") {
      const trip_ms = this.#heartbeat.answered(Number(message.id));
      if (trip_ms !== null) this.#change(sessions.roundTripMeasured(this.#session, trip_ms));
      return;
    }
    this.#feed.receive(message);
    this.#change(sessions.receive(this.#session, message, performance.now()));
    if (message.type === "ltx2_stream_start") this.#heartbeat.start();
    if (message.type === "continuation_state_snapshot") this.#answerSnapshots(message.state);
    if (message.type === "error") this.#answerSnapshots(new Error(message.message));
    this.#sendNext();
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }

  /** Hands the next prompt to the server, unless one waits there. */
  #sendNext() {
    const next = this.#session.phase === "active" ? prompts.toSend(this.#session.prompts) : undefined;
    if (!next) return;
    const { negativePrompt, seed, steps } = this.#options.get(next.requestId) ?? {};
    this.#options.delete(next.requestId);
    this.#send({
      type: "segment_prompt_source",
      prompt: next.text,
      source: "user",
      request_id: next.requestId,
      ...(negativePrompt !== undefined && { negative_prompt: negativePrompt }),
      ...(seed !== undefined && { seed }),
      ...(steps !== undefined && { num_inference_steps: steps }),
    });
    this.#changePrompts((list) => prompts.changed(list, next.requestId, { state: "sending" }));
  }

  /** @param {{code: number, opened: boolean}} close */
  async #closed(close) {
    const connection = this.#connection;
    if (!close.opened && this.#key === null) {
      // A socket is not told why it was not opened; a request is.
      const problem = await this.#askForToken({}).catch((problem) => problem);
      if (connection !== this.#connection) return;
      if (problem instanceof KeyRefused) this.#refused();
    }
    this.#leave();
    this.#change(sessions.connectionClosed(this.#session, close));
    this.#player.finish();
    this.dispatchEvent(new CustomEvent("close", { detail: close }));
  }

  #leave() {
    this.#heartbeat.stop();
    this.#connection?.abandon();
    this.#connection = null;
    this.#answerSnapshots(new Error("the stream is over"));
  }

  /** @param {StateEnvelope | Error} state */
  #answerSnapshots(state) {
    for (const answer of this.#snapshots.splice(0)) answer(state);
  }

  /** @param {ClientMessage} message */
  #send(message) {
    this.#connection?.send(message);
  }

  /** @param {(list: prompts.Prompt[]) => prompts.Prompt[]} change */
  #changePrompts(change) {
    this.#change(sessions.promptsChanged(this.#session, change));
  }

  /** @param {sessions.Session} session */
  #change(session) {
    if (session === this.#session) return;
    this.#session = session;
    this.#player.setExpecting(sessions.isExpecting(session));
    this.dispatchEvent(new Event("change"));
  }
}

/** @param {StreamOptions} options @returns {ClientMessage} */
function opening({ prompts: story, keepGoing = true, loop, enhance, singleClip, preset, image, state }) {
  return {
    type: "session_init_v2",
    auto_extension_enabled: keepGoing,
    ...(story && { curated_prompts: story }),
    ...(loop !== undefined && { loop_generation_enabled: loop }),
    ...(enhance !== undefined && { enhancement_enabled: enhance }),
    ...(singleClip !== undefined && { single_clip_mode: singleClip }),
    ...(preset !== undefined && { preset }),
    ...(image && { initial_image: image }),
    ...(state && { continuation_state: state }),
  };
}

