import { byId, el, icon, setText } from "../dom.js";
import { isOpen } from "../session.js";
import { failureWords } from "../wording.js";

/**
 * @typedef {import("../state.js").AppState} AppState
 * @typedef {import("../rewrite.js").Alternative} Alternative
 */

/**
 * Asks for other words for the scenes to come, and offers what came. Only where the server has a language model.
 * @param {import("../store.js").Store<AppState>} store
 * @param {import("../story_player.js").StoryPlayer} story
 */
export function showRewrite(store, story) {
  const toggle = byId("rewrite-toggle", HTMLButtonElement);
  const panel = byId("rewrite", HTMLElement);
  const form = byId("rewrite-form", HTMLFormElement);
  const wish = byId("rewrite-wish", HTMLInputElement);
  const ask = byId("rewrite-ask", HTMLButtonElement);
  const state = byId("rewrite-state", HTMLElement);
  const list = byId("alternatives", HTMLUListElement);
  const all = byId("rewrite-all", HTMLElement);

  /** @param {boolean} open */
  const show = (open) => {
    panel.hidden = !open;
    toggle.setAttribute("aria-expanded", String(open));
  };
  toggle.addEventListener("click", () => {
    show(panel.hidden);
    if (!panel.hidden) wish.focus();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    story.rewrite(wish.value.trim());
  });
  byId("rewrite-accept", HTMLButtonElement).addEventListener("click", () => {
    for (const { key } of store.state.rewrite.alternatives) story.acceptAlternative(key);
    show(false);
  });
  byId("rewrite-discard", HTMLButtonElement).addEventListener("click", () => {
    story.discardAlternatives();
    wish.focus();
  });

  store.watch(
    (now) => now.info?.features.prompt_enhancement === true,
    (offered) => {
      toggle.hidden = !offered;
      byId("enhance-toggle", HTMLElement).hidden = !offered;
    },
  );
  store.watch(
    (now) => `${now.session.phase === "active"} ${now.rewrite.phase}`,
    (_, { session, rewrite }) => {
      const asking = rewrite.phase === "asking";
      ask.disabled = asking || session.phase !== "active";
      panel.toggleAttribute("data-busy", asking);
      if (asking) setText(state, "The language model is writing");
      else if (rewrite.phase === "failed") setText(state, failureWords(rewrite.reason));
      else if (!isOpen(session)) setText(state, "Start a stream first");
      else setText(state, "");
    },
  );
  store.watch(
    (now) => now.rewrite.alternatives,
    (alternatives, { rewrite }) => {
      all.hidden = alternatives.length === 0;
      // Several ways to tell one scene: one of them is chosen.
      byId("rewrite-accept", HTMLButtonElement).hidden = rewrite.targets.length < 2;
      list.replaceChildren(...alternatives.map((one) => card(one, store.state, story)));
      if (alternatives.length > 0) show(true);
    },
  );
}

/**
 * @param {Alternative} alternative
 * @param {AppState} state
 * @param {import("../story_player.js").StoryPlayer} story
 */
function card({ key, text, target }, { story: { scenes } }, story) {
  const before = scenes.find(({ id }) => id === target)?.text;
  const accept = el("button", { type: "button", class: "icon-button alternative__accept", "aria-label": `Accept: ${text}`, title: "Accept" }, icon("done"));
  const discard = el("button", { type: "button", class: "icon-button", "aria-label": `Discard: ${text}`, title: "Discard" }, icon("close"));
  accept.addEventListener("click", () => story.acceptAlternative(key));
  discard.addEventListener("click", () => story.discardAlternative(key));
  const words = el("div", { class: "alternative__words" }, el("p", {}, text), before === undefined ? el("small", {}, "A new scene") : el("small", { title: before }, `Instead of: ${before}`));
  return el("li", { class: "alternative" }, words, el("div", { class: "alternative__actions" }, accept, discard));
}
