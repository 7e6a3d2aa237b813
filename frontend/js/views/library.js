import { byId, el, icon, setText } from "../dom.js";
import { fileName, saveFile } from "../files.js";
import { counted } from "../format.js";
import { LibraryProblem, choiceOf, kept, readStories, removed, storiesIn, writeStories } from "../library.js";
import { remember, remembered } from "../storage.js";
import { textsOf } from "../story.js";

/**
 * @typedef {import("../state.js").AppState} AppState
 * @typedef {import("../library.js").Choice} Choice
 * @typedef {import("../library.js").SavedStory} SavedStory
 */

const MAX_FILE_BYTES = 4_000_000;
/** Scenes of a story that its card quotes. */
const QUOTED = 3;

/**
 * Presets and the viewer's own stories, to choose from, save, delete, give out and take in.
 * @param {import("../store.js").Store<AppState>} store
 * @param {import("../story_player.js").StoryPlayer} story
 * @param {import("../controller.js").Controller} controller
 */
export function showLibrary(store, story, controller) {
  const dialog = byId("library", HTMLDialogElement);
  const file = byId("library-file", HTMLInputElement);
  const out = byId("library-export", HTMLButtonElement);
  const save = byId("story-save", HTMLButtonElement);
  const name = byId("story-name", HTMLInputElement);

  for (const button of document.querySelectorAll("[data-opens='library']")) {
    button.addEventListener("click", () => dialog.showModal());
  }
  dialog.addEventListener("click", (event) => {
    // The backdrop belongs to the dialog; what lies in it is in its first child.
    if (event.target === dialog) dialog.close();
  });
  byId("library-close", HTMLButtonElement).addEventListener("click", () => dialog.close());
  byId("library-import", HTMLButtonElement).addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    const chosen = file.files?.[0];
    // The same file can be chosen again only if the field forgets it.
    file.value = "";
    if (chosen) void take(chosen);
  });
  byId("library-new", HTMLButtonElement).addEventListener("click", () => {
    use({ name: "", preset: "", scenes: [], toggles: store.state.toggles }, false);
    byId("scene-new", HTMLInputElement).focus();
  });
  out.addEventListener("click", () => give(store.state.saved));
  save.addEventListener("click", () => {
    const { story: now, toggles } = store.state;
    const title = name.value.trim() || suggestedName(textsOf(now));
    const choice = { name: title, preset: now.preset, scenes: textsOf(now), toggles: { keepGoing: toggles.keepGoing, loop: toggles.loop, singleClip: toggles.singleClip } };
    if (keep([{ ...choice, saved: new Date().toISOString() }])) {
      store.update((state) => ({ ...state, story: { ...state.story, name: title, changed: false } }));
      controller.notify("good", "Story saved", `“${title}” is kept in this browser, under Stories.`);
    }
  });

  /** @param {Choice} choice @param {boolean} play */
  const use = (choice, play) => {
    story.choose(choice);
    dialog.close();
    if (play) story.play();
  };

  /** @param {SavedStory[]} more @returns {boolean} */
  function keep(more) {
    try {
      set(more.toReversed().reduce(kept, store.state.saved));
      return true;
    } catch (problem) {
      if (!(problem instanceof LibraryProblem)) throw problem;
      controller.notify("bad", "The story was not saved", problem.message);
      return false;
    }
  }

  /** @param {SavedStory[]} saved */
  function set(saved) {
    store.update((state) => ({ ...state, saved }));
    if (!remember("stories", saved)) {
      controller.notify("bad", "This browser keeps nothing", "Export your stories before you close the page.");
    }
  }

  /** @param {SavedStory[]} stories */
  const give = (stories) => saveFile(new Blob([writeStories(stories)], { type: "application/json" }), fileName(new Date(), "stories.json"));

  /** @param {File} chosen */
  async function take(chosen) {
    try {
      if (chosen.size > MAX_FILE_BYTES) throw new LibraryProblem("This file is too large to hold stories.");
      const stories = readStories(await chosen.text());
      if (keep(stories)) controller.notify("good", "Stories taken in", `${stories.length === 1 ? "One story" : `${stories.length} stories`} from ${chosen.name}.`);
    } catch (problem) {
      if (!(problem instanceof LibraryProblem)) throw problem;
      controller.notify("bad", "The stories could not be taken in", problem.message);
    }
  }

  store.watch(
    (state) => state.presets,
    (presets) => {
      const cards = presets.map((preset) => storyCard(choiceOf(preset), preset.description, use, []));
      byId("library-presets", HTMLUListElement).replaceChildren(...cards);
      byId("library-shipped", HTMLElement).hidden = cards.length === 0;
    },
  );
  store.watch(
    (state) => state.saved,
    (saved) => {
      const cards = saved.map((one) => {
        const share = el("button", { type: "button", class: "icon-button", "aria-label": `Export: ${one.name}`, title: "Export" }, icon("download"));
        share.addEventListener("click", () => give([one]));
        return storyCard(one, "", use, [share, removeButton(one.name, () => set(removed(store.state.saved, one.name)))]);
      });
      byId("library-own", HTMLUListElement).replaceChildren(...cards);
      byId("library-none", HTMLElement).hidden = saved.length > 0;
      out.disabled = saved.length === 0;
    },
  );
  store.watch(
    (state) => state.story.scenes.length,
    (count) => {
      save.disabled = count === 0;
    },
  );
  store.update((state) => ({ ...state, saved: storiesIn(remembered("stories")) }));
}

/**
 * @param {Choice} choice
 * @param {string} description
 * @param {(choice: Choice, play: boolean) => void} use
 * @param {HTMLElement[]} more buttons
 */
function storyCard(choice, description, use, more) {
  const { name, scenes, toggles } = choice;
  const play = el("button", { type: "button", class: "button button--primary", "aria-label": `Play: ${name}` }, icon("play"), "Play");
  const open = el("button", { type: "button", class: "button", "aria-label": `Open on the board: ${name}` }, "Open");
  play.addEventListener("click", () => use(choice, true));
  open.addEventListener("click", () => use(choice, false));
  const traits = [counted(scenes.length, "scene"), toggles.loop ? "loops" : "", toggles.keepGoing ? "keeps going" : "", toggles.singleClip ? "single clips" : ""];
  const quotes = scenes.slice(0, QUOTED).map((text) => el("li", {}, text));
  return el(
    "li",
    { class: "story-card" },
    el("h4", {}, name),
    el("p", { class: "story-card__traits" }, traits.filter(Boolean).join(" · ")),
    description ? el("p", { class: "story-card__about" }, description) : "",
    el("ol", { class: "story-card__scenes" }, ...quotes),
    el("div", { class: "story-card__actions" }, play, open, el("span", { class: "story-card__space" }), ...more),
  );
}

/** A button that asks once more. @param {string} name @param {() => void} remove */
function removeButton(name, remove) {
  const words = el("span", {}, "");
  const button = el("button", { type: "button", class: "icon-button story-card__remove", "aria-label": `Delete: ${name}`, title: "Delete" }, icon("trash"), words);
  button.addEventListener("click", () => {
    if (button.dataset.sure !== undefined) {
      remove();
      return;
    }
    button.dataset.sure = "";
    setText(words, "Delete?");
    button.setAttribute("aria-label", `Delete for good: ${name}`);
  });
  button.addEventListener("blur", () => {
    delete button.dataset.sure;
    setText(words, "");
    button.setAttribute("aria-label", `Delete: ${name}`);
  });
  return button;
}

/** @param {string[]} scenes @returns {string} the beginning of the first one */
function suggestedName(scenes) {
  const words = (scenes[0] ?? "").split(/\s+/).slice(0, 6).join(" ");
  return words.replace(/[.,;:!?]+$/, "");
}
