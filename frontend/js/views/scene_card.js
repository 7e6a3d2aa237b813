import { el, icon, setAttribute, setFlag, setText } from "../dom.js";

/**
 * @typedef {object} SceneFacts what a card shows
 * @property {string} text
 * @property {string} state for the style
 * @property {string} mark icon of the state, or the number of a scene that waits
 * @property {string} words the state in words
 * @property {boolean} movable
 * @property {boolean} editable
 * @property {boolean} removable
 *
 * @typedef {object} SceneActions
 * @property {(text: string) => void} edit
 * @property {() => void} remove
 */

/** One prompt as a card: its state, its words, which a click turns into a field, and what can be done with it. */
export class SceneCard {
  #grip = el("button", { type: "button", class: "scene__grip icon-button" }, icon("grip"));
  #mark = el("span", { class: "scene__mark", "aria-hidden": "true" });
  #marked = "";
  #text = el("button", { type: "button", class: "scene__text" });
  #words = el("span", { class: "scene__state" });
  #remove = el("button", { type: "button", class: "scene__remove icon-button" }, icon("close"));
  /** @type {SceneFacts | null} */
  #facts = null;
  #actions;

  /** @param {SceneActions} actions */
  constructor(actions) {
    this.#actions = actions;
    this.element = el("li", { class: "scene" }, this.#mark, this.#grip, el("div", { class: "scene__body" }, this.#text, this.#words), this.#remove);
    this.#text.addEventListener("click", () => this.edit());
    this.#remove.addEventListener("click", () => {
      const next = this.element.nextElementSibling ?? this.element.previousElementSibling;
      actions.remove();
      const button = next?.querySelector(".scene__remove:not([hidden])");
      if (button instanceof HTMLElement) button.focus();
    });
  }

  /** @param {SceneFacts} facts */
  draw(facts) {
    const { text, state, mark, words, movable, editable, removable } = facts;
    this.#facts = facts;
    setAttribute(this.element, "data-state", state);
    setFlag(this.element, "data-movable", movable);
    if (this.#marked !== mark) this.#mark.replaceChildren(/^\d/.test(mark) ? mark : icon(mark));
    this.#marked = mark;
    setText(this.#text, text);
    this.#text.title = text;
    setText(this.#words, words);
    this.#text.disabled = !editable;
    setAttribute(this.#text, "aria-label", editable ? `${text}. ${words}. Edit` : `${text}. ${words}`);
    this.#grip.hidden = !movable;
    setAttribute(this.#grip, "aria-label", `Move with the arrow keys: ${text}`);
    this.#remove.hidden = !removable;
    setAttribute(this.#remove, "aria-label", `Remove: ${text}`);
  }

  /** Turns the words into a field. */
  edit() {
    const before = this.#facts?.text ?? "";
    const field = el("textarea", { class: "scene__field", rows: 1, "aria-label": "Words of the scene" });
    field.value = before;
    this.#text.hidden = true;
    this.#text.after(field);
    field.focus();
    field.setSelectionRange(before.length, before.length);
    let open = true;
    /** @param {boolean} keep @param {boolean} focus */
    const close = (keep, focus) => {
      if (!open) return;
      open = false;
      field.remove();
      this.#text.hidden = false;
      if (focus) this.#text.focus();
      if (keep && field.value.trim() !== before) this.#actions.edit(field.value);
    };
    field.addEventListener("blur", () => close(true, false));
    field.addEventListener("keydown", (event) => {
      if (event.isComposing || (event.key !== "Enter" && event.key !== "Escape") || (event.key === "Enter" && event.shiftKey)) return;
      event.preventDefault();
      close(event.key === "Enter", true);
    });
  }
}
