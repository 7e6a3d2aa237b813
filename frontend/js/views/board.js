import { byId, drawList, el, icon, setFlag, setIcon, setText } from "../dom.js";
import { counted } from "../format.js";
import { isOpen } from "../session.js";
import { MAX_SCENES, sceneState, toCome } from "../story.js";
import { refusalWords } from "../wording.js";
import { shownWords } from "./queue.js";
import { reorderable } from "./reorder.js";
import { SceneCard } from "./scene_card.js";

/**
 * @typedef {import("../state.js").AppState} AppState
 * @typedef {import("./scene_card.js").SceneFacts} SceneFacts
 */

const IDEAS = 6;
/** The board follows what is on screen unless the viewer has used it just now. */
const FOLLOW_AFTER_MS = 4000;
/** @type {string[]} */
const NONE = [];

/**
 * @param {Pick<AppState, "story" | "session" | "playback">} state
 * @returns {(SceneFacts & {id: string})[]}
 */
export function boardFacts({ story, session, playback }) {
  return story.scenes.map(({ id, text, refused }, index) => {
    const { state, segment } = sceneState(story, index, session.segments, playback.position_s);
    const can = { id, text, editable: true, removable: true, movable: index >= story.taken };
    if (state === "refused") return { ...can, state, mark: "alert", words: refusalWords(refused) };
    if (state === "next" || state === "pending") return { ...can, state, mark: String(index + 1), words: state === "next" ? "Up next" : "" };
    return { ...can, ...shownWords(state, segment, playback.position_s) };
  });
}

/**
 * The story: its scenes as cards, and what plays it.
 * @param {import("../store.js").Store<AppState>} store
 * @param {import("../story_player.js").StoryPlayer} story
 * @param {import("../controller.js").Controller} controller
 */
export function showBoard(store, story, controller) {
  const list = byId("scenes", HTMLOListElement);
  const play = byId("play-story", HTMLButtonElement);
  const add = byId("scene-add", HTMLFormElement);
  const words = byId("scene-new", HTMLInputElement);
  const name = byId("story-name", HTMLInputElement);
  const announcer = byId("announcer", HTMLElement);
  const scroller = byId("board-scroll", HTMLElement);
  /** @type {Map<string, SceneCard>} */
  const cards = new Map();
  /** @type {string | undefined} */
  let playing;
  let touched_ms = -FOLLOW_AFTER_MS;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  for (const event of ["wheel", "pointerdown", "keydown"]) {
    scroller.addEventListener(event, () => (touched_ms = performance.now()), { passive: true });
  }
  /** Keeps the scene on screen in view. @param {string | undefined} id */
  const follow = (id) => {
    if (id === playing) return;
    playing = id;
    const card = id === undefined ? undefined : cards.get(id)?.element;
    if (!card || performance.now() - touched_ms < FOLLOW_AFTER_MS) return;
    // `scrollIntoView` would scroll the page as well.
    const above = card.offsetTop - scroller.clientHeight / 3;
    scroller.scrollTo({ top: above, behavior: calm.matches ? "instant" : "smooth" });
  };

  reorderable(list, scroller, (item, to) => {
    const scene = store.state.story.scenes[[...list.children].indexOf(item)];
    if (!scene) return;
    story.move(scene.id, to);
    setText(announcer, `Now scene ${to + 1} of ${store.state.story.scenes.length}: ${scene.text}`);
  });

  play.addEventListener("click", () => {
    if (play.dataset.does === "hold") story.hold();
    else story.play();
  });
  add.addEventListener("submit", (event) => {
    event.preventDefault();
    story.add(words.value);
    words.value = "";
    words.focus();
    list.lastElementChild?.scrollIntoView({ block: "nearest" });
  });
  name.addEventListener("change", () => story.rename(name.value.trim()));

  store.watch(
    (state) => JSON.stringify(boardFacts(state)),
    (_, state) => {
      const shown = boardFacts(state);
      drawList(list, cards, shown, {
        key: ({ id }) => id,
        create: ({ id }) => new SceneCard({ edit: (text) => story.edit(id, text), remove: () => story.remove(id) }),
        draw: (card, facts) => card.draw(facts),
      });
      follow(shown.findLast((facts) => facts.state === "playing")?.id);
    },
  );
  store.watch(
    (state) => state.story,
    ({ scenes, name: title, taken }) => {
      byId("story-empty", HTMLElement).hidden = scenes.length > 0;
      if (document.activeElement !== name) name.value = title;
      setText(byId("story-count", HTMLElement), scenes.length === 0 ? "" : taken === 0 ? counted(scenes.length, "scene") : `${taken} of ${scenes.length}`);
      words.disabled = scenes.length >= MAX_SCENES;
    },
  );
  store.watch(
    (state) => state.boardOpen || state.story.scenes.length > 0,
    (open) => document.body.toggleAttribute("data-story", open),
  );
  store.watch(
    (state) => `${playButton(state)} ${isOpen(state.session)}`,
    (_, state) => {
      const does = playButton(state);
      const hold = does === "hold";
      play.dataset.does = does;
      play.disabled = state.story.scenes.length === 0;
      setIcon(byId("play-story-icon", SVGElement), hold ? "hold" : does === "again" ? "replay" : "story");
      setText(byId("play-story-text", HTMLElement), { hold: "Hold story", again: "Play again", go_on: "Go on", play: "Play story" }[does]);
      setFlag(play, "data-on", hold);
      play.classList.toggle("button--primary", !isOpen(state.session));
    },
  );
  store.watch(
    (state) => state.story.scenes.length,
    (count) => {
      play.disabled = count === 0;
    },
  );
  showIdeas(store, controller);
}

/**
 * What the button does.
 * @param {Pick<AppState, "story" | "session" | "toggles">} state
 * @returns {"play" | "hold" | "again" | "go_on"}
 */
export function playButton({ story, session, toggles }) {
  if (!isOpen(session) || story.scenes.length === 0) return "play";
  if (toCome(story).length === 0 && !(story.playing && toggles.loop)) return "again";
  if (story.playing) return "hold";
  return story.taken > 0 ? "go_on" : "play";
}

/**
 * Something to say, while there is no story.
 * @param {import("../store.js").Store<AppState>} store
 * @param {import("../controller.js").Controller} controller
 */
function showIdeas(store, controller) {
  const ideas = byId("ideas", HTMLUListElement);
  store.watch(
    (state) => state.info?.examples ?? NONE,
    (examples) => {
      const items = examples.slice(0, IDEAS).map((prompt) => {
        const button = el("button", { type: "button", class: "idea", title: prompt }, icon("spark"), el("span", {}, prompt));
        button.addEventListener("click", () => controller.submit(prompt));
        return el("li", {}, button);
      });
      ideas.replaceChildren(...items);
    },
  );
}
