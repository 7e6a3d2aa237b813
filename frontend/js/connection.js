import { KeyRefused } from "./access.js";
import { Comeback } from "./comeback.js";
import { lastSequence } from "./media/boxes.js";

/**
 * @typedef {import("./protocol.js").ClientMessage} ClientMessage
 * @typedef {import("./protocol.js").ServerMessage} ServerMessage
 * @typedef {Extract<ClientMessage, {type: "segment_prompt_source"}>} PromptMessage
 *
 * @typedef {object} ConnectionEvents
 * @property {() => void} open
 * @property {(message: ServerMessage) => void} message
 * @property {(bytes: Uint8Array<ArrayBuffer>) => void} media
 * @property {(on: boolean) => void} reconnecting the socket broke and another one is tried; or it has taken its place
 * @property {() => void} refused the server asks for a key and got none that opens anything; `close` follows
 * @property {(close: {code: number, opened: boolean}) => void} close called exactly once, also when the server was never reached
 */

/** WebSocket close code of a connection that broke. */
const BROKEN = 1006;
/** And of one that may not be. */
const NO_PERMISSION = 1008;
/** Of a server that goes away, fails, starts again or has no room: the session may go on, there or elsewhere. */
const SENT_AWAY = [1001, 1011, 1012, 1013];
/** Of no use once they are late. */
const PASSING = ["ping", "playback_status"];

/**
 * One session's WebSocket: JSON both ways, media one way. One that breaks, or that a server closes which cannot go on itself, is replaced,
 * with growing pauses between attempts, for as long as the session is waited for; what arrives goes on where it was.
 */
export class Connection {
  #url;
  #events;
  #subprotocols;
  /** @type {WebSocket | null} */
  #socket = null;
  #opened = false;
  #closed = false;
  /** @type {string | null} what opens the session again, once the server has told */
  #token = null;
  #grace_ms = 0;
  #sequence = 0;
  #after = 0;
  /** The socket broke, and is being replaced. */
  #broken = false;
  #comeback = new Comeback();
  /** Whether the session has been active, and whether it is over. */
  #started = false;
  #over = false;
  /** @type {Extract<ServerMessage, {type: "error"}> | null} an error that nothing has followed yet */
  #farewell = null;
  /** @type {Extract<ServerMessage, {type: "error"}> | null} why the newest attempt was refused for now */
  #refusal = null;
  #timer = 0;
  /** @type {Map<string, PromptMessage>} prompts that may be lost with the server */
  #unmade = new Map();
  /** @type {ClientMessage[]} said while the socket was being replaced */
  #held = [];

  /**
   * @param {string} url
   * @param {ConnectionEvents} events
   * @param {() => Promise<string[]> | null} [subprotocols] what to offer with each socket; null is nothing, at once
   */
  constructor(url, events, subprotocols = () => null) {
    this.#url = url;
    this.#events = events;
    this.#subprotocols = subprotocols;
    this.#connect();
  }

  /** @param {ClientMessage} message dropped when the connection is over: its end is reported by `close` */
  send(message) {
    if (message.type === "segment_prompt_source" && message.request_id) this.#unmade.set(message.request_id, message);
    else if (this.#broken && !PASSING.includes(message.type)) this.#held.push(message);
    if (!this.#broken) this.#write(message);
  }

  /** Leaves without waiting; no further event is reported. */
  abandon() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket?.close(1000);
  }

  #connect() {
    const asked = this.#subprotocols();
    if (asked === null) this.#open([]);
    else void asked.then((offered) => this.#open(offered), (problem) => this.#notOpened(problem));
  }

  /** @param {unknown} problem */
  #notOpened(problem) {
    if (this.#closed) return;
    if (!(problem instanceof KeyRefused)) {
      this.#ended(BROKEN);
      return;
    }
    this.#closed = true;
    this.#events.refused();
    this.#events.close({ code: NO_PERMISSION, opened: this.#opened });
  }

  /** @param {string[]} offered */
  #open(offered) {
    if (this.#closed) return;
    const socket = new WebSocket(this.#url, offered);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      if (this.#closed) return;
      this.#opened = true;
      if (!this.#broken || this.#token === null) this.#events.open();
      else this.#write({ type: "session_resume", resume_token: this.#token, last_sequence: this.#sequence, frames_after: this.#after });
    };
    socket.onmessage = ({ data }) => {
      if (this.#closed) return;
      if (data instanceof ArrayBuffer) this.#gotMedia(new Uint8Array(data));
      else if (!this.#broken) this.#got(JSON.parse(data));
      else this.#answered(JSON.parse(data));
    };
    socket.onclose = ({ code }) => {
      if (!this.#closed) this.#ended(code);
    };
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes */
  #gotMedia(bytes) {
    const sequence = lastSequence(bytes);
    this.#after = sequence === null ? this.#after + 1 : 0;
    this.#sequence = sequence ?? this.#sequence;
    this.#farewell = null;
    this.#events.media(bytes);
  }

  /** @param {ServerMessage} message */
  #got(message) {
    this.#after += 1;
    if (message.type === "queue_status" && message.resume_token) {
      this.#token = message.resume_token;
      this.#grace_ms = (message.resume_grace_seconds ?? 0) * 1000;
    }
    this.#started ||= message.type === "ltx2_stream_start";
    this.#over ||= message.type === "ltx2_stream_complete" || message.type === "session_timeout";
    this.#farewell = message.type === "error" ? message : null;
    // Until a segment uses it, a prompt may be lost with its server.
    if (message.type === "prompt_status" && message.status !== "pending") this.#unmade.delete(message.request_id);
    this.#events.message(message);
  }

  /** @param {ServerMessage} message the answer to session_resume, which is no part of the stream */
  #answered(message) {
    if (message.type === "error" && message.retryable) {
      this.#refusal = message;
      return;
    }
    if (message.type !== "queue_status") {
      this.#token = null;
      // A server that sent the page away has told why.
      if (!this.#farewell) this.#events.message(message);
      return;
    }
    this.#broken = false;
    this.#refusal = this.#farewell = null;
    this.#comeback.back(performance.now());
    for (const said of [...this.#unmade.values(), ...this.#held.splice(0)]) this.#write(said);
    this.#events.reconnecting(false);
  }

  /** @param {number} code */
  #ended(code) {
    const now_ms = performance.now();
    const said = this.#broken ? this.#refusal : this.#farewell;
    if (!this.#broken) this.#comeback.lost(now_ms, this.#sequence, this.#grace_ms);
    const pause_ms = this.#mayGoOn(code) ? this.#comeback.pause_ms(now_ms, Math.random(), (said?.retry_after ?? 0) * 1000) : null;
    if (pause_ms === null) {
      this.#closed = true;
      if (this.#refusal) this.#events.message(this.#refusal);
      this.#events.close({ code, opened: this.#opened });
      return;
    }
    if (!this.#broken) {
      this.#broken = true;
      this.#events.reconnecting(true);
    }
    this.#refusal = null;
    this.#timer = setTimeout(() => this.#connect(), pause_ms);
  }

  /** @param {number} code @returns {boolean} whether the session may go on over another socket */
  #mayGoOn(code) {
    if (this.#token === null || this.#over) return false;
    if (code === BROKEN) return true;
    // What was refused for good has no token any more; a session that never was active is stored nowhere.
    return SENT_AWAY.includes(code) && this.#started && (this.#broken || this.#farewell === null || this.#farewell.retryable === true);
  }

  /** @param {ClientMessage} message */
  #write(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }
}

/** @param {{href: string}} location of the server, or of the page that it served @returns {string} address of its stream */
export function streamUrl(location) {
  const url = new URL("v1/stream", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = url.hash = "";
  return url.href;
}
