import { byId, el, icon } from "../dom.js";
import { isOpen } from "../session.js";

/** Shown when the server has no presets. */
const EXAMPLES = [
  "A paper boat sails down a rain-soaked street at dusk, neon reflections, soft thunder far away",
  "Close-up of a glassblower turning molten glass, sparks and the low roar of the furnace",
  "Slow flight over a coral reef, shafts of sunlight, a shoal of silver fish turns at once",
  "A lighthouse in a winter storm, waves breaking over the rocks, wind and a distant horn",
];
const SHOWN = 4;

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
    (state) => state.presets.find((one) => one.name === state.preset)?.prompts ?? state.presets[0]?.prompts ?? EXAMPLES,
    (prompts) => {
      const shown = prompts.length > 0 ? prompts : EXAMPLES;
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
