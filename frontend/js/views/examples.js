import { byId, el, icon } from "../dom.js";
import { isOpen } from "../session.js";

const SHOWN = 4;
/** @type {string[]} */
const NONE = [];

/**
 * Prompts to pick from: cards before the first prompt, a list in the rail afterwards.
 * @param {import("../store.js").Store<import("../state.js").AppState>} store
 * @param {import("../controller.js").Controller} controller
 */
export function showExamples(store, controller) {
  const cards = byId("examples", HTMLUListElement);
  const ideas = byId("ideas", HTMLUListElement);
  const ideasCard = byId("ideas-card", HTMLElement);

  /** @param {string} prompt @param {string} className @param {...Node} children */
  const item = (prompt, className, ...children) => {
    const button = el("button", { type: "button", class: className, title: prompt }, ...children);
    button.addEventListener("click", () => controller.submit(prompt));
    return el("li", {}, button);
  };

  store.watch(
    (state) => state.presets.find((one) => one.name === state.preset)?.prompts ?? state.info?.examples ?? NONE,
    (shown) => {
      cards.replaceChildren(...shown.slice(0, SHOWN).map((prompt) => item(prompt, "example", el("span", {}, prompt), icon("play"))));
      ideas.replaceChildren(...shown.map((prompt) => item(prompt, "idea", document.createTextNode(prompt))));
    },
  );
  store.watch(
    (state) => isOpen(state.session),
    (open) => {
      ideasCard.hidden = !open;
    },
  );
}
