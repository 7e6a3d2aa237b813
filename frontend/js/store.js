/**
 * A small observable value. Views read `state` and `watch` the part they draw; changes are delivered together, once per turn.
 * @template T
 */
export class Store {
  /** @type {T} */
  #state;
  /** @type {Set<(state: T) => void>} */
  #listeners = new Set();
  #scheduled = false;
  /** @type {(run: () => void) => void} */
  #schedule;

  /**
   * @param {T} initial
   * @param {(run: () => void) => void} [schedule] runs the delivery later; tests pass one that they control
   */
  constructor(initial, schedule = (run) => queueMicrotask(run)) {
    this.#state = initial;
    this.#schedule = schedule;
  }

  get state() {
    return this.#state;
  }

  /** @param {(state: T) => T} change returns the next state, or the same object when nothing changed */
  update(change) {
    const next = change(this.#state);
    if (next === this.#state) return;
    this.#state = next;
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#schedule(() => {
      this.#scheduled = false;
      for (const listener of [...this.#listeners]) listener(this.#state);
    });
  }

  /**
   * Calls `effect` now, and again whenever the selected value is another one.
   * @template S
   * @param {(state: T) => S} select
   * @param {(value: S, state: T) => void} effect
   * @returns {() => void} stops watching
   */
  watch(select, effect) {
    let last = select(this.#state);
    effect(last, this.#state);
    /** @param {T} state */
    const listener = (state) => {
      const value = select(state);
      if (Object.is(value, last)) return;
      last = value;
      effect(value, state);
    };
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
