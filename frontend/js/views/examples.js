import { byId, el, icon } from "../dom.js";

const SHOWN = 4;
/** @type {string[]} */
const NONE = [];

/**
 * Prompts to begin with, over the empty screen.
 * @param {import("../store.js").Store<import("../state.js").AppState>} store
 * @param {import("../controller.js").Controller} controller
 */
export function showExamples(store, controller) {
  const cards = byId("examples", HTMLUListElement);
  store.watch(
    (state) => state.info?.examples ?? NONE,
    (examples) => {
      const items = examples.slice(0, SHOWN).map((prompt) => {
        const button = el("button", { type: "button", class: "example", title: prompt }, el("span", {}, prompt), icon("play"));
        button.addEventListener("click", () => controller.submit(prompt));
        return el("li", {}, button);
      });
      cards.replaceChildren(...items);
    },
  );
}
