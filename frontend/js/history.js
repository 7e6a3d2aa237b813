/** Prompts that were sent before, newest last, walked through with the arrow keys like a shell's. */
export class PromptHistory {
  /** @type {string[]} */
  #prompts;
  #at;
  #draft = "";
  #save;
  #limit;

  /**
   * @param {string[]} [prompts]
   * @param {(prompts: string[]) => void} [save]
   * @param {number} [limit]
   */
  constructor(prompts = [], save = () => {}, limit = 100) {
    this.#limit = limit;
    this.#prompts = prompts.slice(-limit);
    this.#at = this.#prompts.length;
    this.#save = save;
  }

  /** @param {string} prompt */
  add(prompt) {
    if (this.#prompts.at(-1) !== prompt) this.#prompts = [...this.#prompts, prompt].slice(-this.#limit);
    this.#at = this.#prompts.length;
    this.#draft = "";
    this.#save(this.#prompts);
  }

  /** @param {string} current what stands in the box @returns {string | null} null at the oldest */
  older(current) {
    if (this.#at === 0) return null;
    if (this.#at === this.#prompts.length) this.#draft = current;
    this.#at -= 1;
    return this.#prompts[this.#at];
  }

  /** @returns {string | null} null when nothing newer is there; after the newest comes what was being typed */
  newer() {
    if (this.#at === this.#prompts.length) return null;
    this.#at += 1;
    return this.#prompts[this.#at] ?? this.#draft;
  }
}
