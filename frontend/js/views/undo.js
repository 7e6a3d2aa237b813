import { byId, setAttribute, setText } from "../dom.js";

/**
 * @typedef {import("../undo.js").Step} Step
 */

const SHOWN_CHARS = 40;
/** @type {Record<Step["kind"], {does: string, did: string}>} */
const WORDS = {
  removed: { does: "Put back", did: "Put back" },
  moved: { does: "Move back", did: "Moved back" },
  edited: { does: "Earlier words for", did: "Earlier words again" },
};

/** @param {Step} step */
const named = ({ item: { text } }) => `“${text.length > SHOWN_CHARS ? `${text.slice(0, SHOWN_CHARS - 1)}…` : text}”`;

/**
 * What the button says that it does. @param {Step | undefined} step
 */
export const undoLabel = (step) => (step ? `${WORDS[step.kind].does} ${named(step)}` : "Nothing to take back");

/**
 * What is said once it is done. @param {Step | null} step
 */
export const undoneWords = (step) => (step ? `${WORDS[step.kind].did}: ${named(step)}` : "Nothing to take back");

/**
 * The button that takes back what was changed on the board, and its key.
 * @param {import("../store.js").Store<import("../state.js").AppState>} store
 * @param {import("../story_player.js").StoryPlayer} story
 */
export function showUndo(store, story) {
  const button = byId("board-undo", HTMLButtonElement);
  const announcer = byId("announcer", HTMLElement);
  let known = 0;
  const undo = () => {
    if (store.state.undo.length > 0) setText(announcer, undoneWords(story.undo()));
  };
  button.addEventListener("click", undo);
  document.addEventListener("keydown", (event) => {
    const asked = event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey;
    // Where text is typed, the browser takes back what was typed.
    if (!asked || event.defaultPrevented || event.target instanceof HTMLTextAreaElement || isTextField(event.target)) return;
    event.preventDefault();
    undo();
  });
  store.watch(
    (state) => state.undo.at(-1),
    (step, { undo: steps }) => {
      // A disabled button would lose the focus with its last step.
      setAttribute(button, "aria-disabled", String(steps.length === 0));
      setAttribute(button, "aria-label", undoLabel(step));
      setAttribute(button, "data-tip", undoLabel(step));
      // Focus goes where the next change can be made; that something is gone has to be heard as well.
      const fresh = steps.length > known;
      known = steps.length;
      if (fresh && step?.kind === "removed") setText(announcer, `Removed: ${named(step)}. Control Z puts it back.`);
    },
  );
}

/** @param {EventTarget | null} target */
const isTextField = (target) => target instanceof HTMLInputElement && (target.type === "text" || target.type === "number");
