/** A server that asks for a key got none, or one that opens nothing there. */
export class KeyRefused extends Error {}

const STORED = "fastvideo.key";

/**
 * The key that this page shows a server that asks for one. It is kept for this tab alone, and is never part of an address: addresses are
 * logged.
 */
export class Access {
  #storage;
  /** @type {string | null} */
  #key;
  /** Whether the server asks for one, as far as it has said. */
  required = false;

  /** @param {Storage} storage */
  constructor(storage) {
    this.#storage = storage;
    this.#key = this.#stored();
  }

  /** Whether the server asks for a key and there is none. */
  get missing() {
    return this.required && this.#key === null;
  }

  /** @param {string | null} key null forgets the one that there is */
  use(key) {
    this.#key = key || null;
    try {
      if (this.#key) this.#storage.setItem(STORED, this.#key);
      else this.#storage.removeItem(STORED);
    } catch {
      // Storage can be off; then the key lasts as long as the page.
    }
  }

  /** @returns {Record<string, string>} for requests */
  get headers() {
    return this.#key === null ? {} : { authorization: `Bearer ${this.#key}` };
  }

  /**
   * What to offer the server with a WebSocket, which can carry no header: a token for the key, made for this connection.
   * @returns {Promise<string[]> | null} null where no key is asked for; rejects with KeyRefused
   */
  subprotocols() {
    if (this.#key === null) return this.required ? Promise.reject(new KeyRefused("the server asks for a key")) : null;
    return tokenSubprotocols("v1/stream/tokens", this.headers);
  }

  #stored() {
    try {
      return this.#storage.getItem(STORED);
    } catch {
      return null;
    }
  }
}

/**
 * What to offer with a WebSocket so that it counts as the key's: a token that the server makes for it.
 * @param {string} address of the server's tokens
 * @param {Record<string, string>} headers with the key
 * @returns {Promise<string[]>} rejects with KeyRefused, and with an Error when the server does not answer as it should
 */
export async function tokenSubprotocols(address, headers) {
  const answer = await fetch(address, { method: "POST", headers });
  if (answer.status === 401 || answer.status === 403) throw new KeyRefused("the key opens nothing here");
  // The server asks for no keys.
  if (answer.status === 404) return [];
  if (!answer.ok) throw new Error(`no token: HTTP ${answer.status}`);
  return (await answer.json()).subprotocols;
}
