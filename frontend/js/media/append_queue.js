/**
 * @typedef {(
 *   | {kind: "append", data: Uint8Array<ArrayBuffer>}
 *   | {kind: "remove", start_s: number, end_s: number}
 *   | {kind: "type", mime: string}
 *   | {kind: "end", run: () => void}
 * )} Operation
 * @typedef {Pick<SourceBuffer, "updating" | "appendBuffer" | "remove" | "changeType"> & EventTarget} Buffer
 */

/**
 * Every operation on one SourceBuffer, one at a time and in order. When the browser says its memory is full, old media is removed and the
 * same append tried again; with nothing left to remove the queue waits until `retry` is called.
 */
export class AppendQueue {
  /** @type {Operation[]} */
  #operations = [];
  /** @type {Operation | null} */
  #running = null;
  #full = false;
  #open = true;
  #closed = false;
  #evictions = 0;
  #buffer;
  #room;
  #fail;

  /**
   * @param {Buffer} buffer
   * @param {object} hooks
   * @param {() => {start_s: number, end_s: number} | null} hooks.room what may be removed when the buffer is full
   * @param {(problem: unknown) => void} hooks.fail called once; the queue is closed then
   */
  constructor(buffer, { room, fail }) {
    this.#buffer = buffer;
    this.#room = room;
    this.#fail = fail;
    buffer.addEventListener("updateend", this.#done);
    buffer.addEventListener("error", this.#broken);
  }

  get idle() {
    return this.#running === null && this.#operations.length === 0;
  }

  /** Bytes waiting to be appended. */
  get pending_bytes() {
    return this.#operations.reduce((sum, op) => sum + (op.kind === "append" ? op.data.byteLength : 0), 0);
  }

  /** How often the browser's memory was full. */
  get evictions() {
    return this.#evictions;
  }

  /** @param {Operation} operation */
  push(operation) {
    if (this.#closed) return;
    this.#operations.push(operation);
    this.#next();
  }

  /** Managed media sources say when they want data. @param {boolean} open */
  setOpen(open) {
    this.#open = open;
    this.#next();
  }

  /** Tries again after the buffer was full; playback has moved on, so there may be room now. */
  retry() {
    if (!this.#full) return;
    this.#full = false;
    this.#next();
  }

  close() {
    this.#closed = true;
    this.#operations = [];
    this.#buffer.removeEventListener("updateend", this.#done);
    this.#buffer.removeEventListener("error", this.#broken);
  }

  #done = () => {
    this.#running = null;
    this.#next();
  };

  #broken = () => this.#stop(new Error("the browser could not read a fragment"));

  /** @param {unknown} problem */
  #stop(problem) {
    if (this.#closed) return;
    this.close();
    this.#fail(problem);
  }

  #next() {
    while (!this.#closed && this.#running === null && !this.#full && !this.#buffer.updating) {
      const operation = this.#operations[0];
      if (!operation || (operation.kind === "append" && !this.#open)) return;
      this.#operations.shift();
      try {
        this.#start(operation);
      } catch (problem) {
        if (operation.kind !== "append" || !isQuotaError(problem)) {
          this.#stop(problem);
          return;
        }
        this.#operations.unshift(operation);
        this.#makeRoom();
      }
    }
  }

  /** @param {Operation} operation */
  #start(operation) {
    switch (operation.kind) {
      case "append":
        this.#buffer.appendBuffer(operation.data);
        this.#running = operation;
        return;
      case "remove":
        this.#buffer.remove(operation.start_s, operation.end_s);
        this.#running = operation;
        return;
      case "type":
        this.#buffer.changeType(operation.mime);
        return;
      case "end":
        operation.run();
    }
  }

  #makeRoom() {
    this.#evictions += 1;
    const range = this.#room();
    if (range) this.#operations.unshift({ kind: "remove", ...range });
    else this.#full = true;
  }
}

/** @param {unknown} problem */
function isQuotaError(problem) {
  return problem instanceof DOMException && problem.name === "QuotaExceededError";
}
