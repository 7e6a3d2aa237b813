/**
 * @typedef {import("./protocol.js").ClientMessage} ClientMessage
 * @typedef {import("./protocol.js").ServerMessage} ServerMessage
 *
 * @typedef {object} ConnectionEvents
 * @property {() => void} open
 * @property {(message: ServerMessage) => void} message
 * @property {(bytes: Uint8Array<ArrayBuffer>) => void} media
 * @property {(close: {code: number, opened: boolean}) => void} close called exactly once, also when the server was never reached
 */

/** One WebSocket: JSON both ways, media one way. */
export class Connection {
  #socket;
  #opened = false;
  #closed = false;

  /**
   * @param {string} url
   * @param {ConnectionEvents} events
   */
  constructor(url, events) {
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#opened = true;
      events.open();
    };
    socket.onmessage = ({ data }) => {
      if (this.#closed) return;
      if (data instanceof ArrayBuffer) events.media(new Uint8Array(data));
      else events.message(JSON.parse(data));
    };
    socket.onclose = ({ code }) => {
      if (this.#closed) return;
      this.#closed = true;
      events.close({ code, opened: this.#opened });
    };
    this.#socket = socket;
  }

  /** @param {ClientMessage} message dropped when the connection is not open: its end is reported by `close` */
  send(message) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /** Leaves without waiting; no further event is reported. */
  abandon() {
    this.#closed = true;
    this.#socket.close(1000);
  }
}

/** @param {Location} location @returns {string} address of the stream on the server that served the page */
export function streamUrl(location) {
  const url = new URL("v1/stream", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = url.hash = "";
  return url.href;
}
