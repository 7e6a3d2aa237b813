import { isInitSegment, sameBytes } from "./boxes.js";

/** Gives a player what a stream brings: the type of its media, the media itself, and its end. */
export class Feed {
  #player;
  /** @type {Uint8Array<ArrayBuffer> | null} */
  #init = null;

  /** @param {Pick<import("./player.js").Player, "open" | "append" | "finish" | "close">} player */
  constructor(player) {
    this.#player = player;
  }

  /** @param {import("../protocol.js").ServerMessage} message */
  receive(message) {
    if (message.type === "media_init" && message.mime) this.#player.open(message.mime);
    if (message.type === "ltx2_stream_complete" || message.type === "session_timeout") this.#player.finish();
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes one binary message */
  append(bytes) {
    if (isInitSegment(bytes)) {
      // Every segment opens with its init segment, so that others can join there; the same one again has nothing to say.
      if (this.#init && sameBytes(this.#init, bytes)) return;
      this.#init = bytes;
    }
    this.#player.append(bytes);
  }

  /** Another stream is to come. */
  close() {
    this.#init = null;
    this.#player.close();
  }
}
