import { byId, drawList, setText } from "../dom.js";
import { clock } from "../format.js";
import { segmentState } from "../story.js";
import { refusalWords } from "../wording.js";
import { reorderable } from "./reorder.js";
import { SceneCard } from "./scene_card.js";

/**
 * @typedef {import("../state.js").AppState} AppState
 * @typedef {import("../prompts.js").Prompt} Prompt
 * @typedef {import("./scene_card.js").SceneFacts} SceneFacts
 */

/**
 * The viewer's prompts that are not over: those that wait, that are being made, that are on screen, and that were refused.
 * @param {Pick<AppState, "session" | "playback">} state
 * @returns {{prompt: Prompt, facts: SceneFacts}[]}
 */
export function queueFacts({ session, playback }) {
  const shown = [];
  let next = true;
  for (const prompt of session.prompts) {
    if (prompt.source !== "user") continue;
    const fixed = { text: prompt.text, movable: false, editable: false, removable: false };
    if (prompt.state === "applied") {
      const segment = session.segments.find(({ serial }) => serial === prompt.segment);
      const state = segment ? segmentState(segment, playback.position_s) : "making";
      if (state === "played" || state === "skipped") continue;
      shown.push({ prompt, facts: { ...fixed, ...shownWords(state, segment, playback.position_s) } });
    } else if (prompt.state === "rejected") {
      shown.push({ prompt, facts: { ...fixed, state: "refused", mark: "alert", words: refusalWords(prompt.reason), removable: true } });
    } else {
      const held = prompt.state === "held";
      const words = session.paused ? "Waits until generation resumes" : next ? "Up next" : "Waiting for its turn";
      shown.push({ prompt, facts: { ...fixed, state: next ? "next" : "pending", mark: "user", words, movable: held, editable: held, removable: held } });
      next = false;
    }
  }
  return shown;
}

/**
 * @param {import("../story.js").SceneState} state
 * @param {import("../segments.js").Segment | null | undefined} segment
 * @param {number} position_s
 * @returns {Pick<SceneFacts, "state" | "mark" | "words">} of a prompt that has its segment
 */
export function shownWords(state, segment, position_s) {
  const at = segment ? clock(segment.start_s) : "";
  switch (state) {
    case "making": {
      const steps = segment && segment.step > 0 ? ` · step ${segment.step} of ${segment.total_steps}` : "";
      return { state, mark: "dots", words: `Being made${steps}` };
    }
    case "made":
      return { state, mark: "clock", words: `From ${at}, in ${Math.max(1, Math.ceil((segment?.start_s ?? 0) - position_s))} s` };
    case "playing":
      return { state, mark: "play", words: "On screen now" };
    case "skipped":
      return { state, mark: "skip", words: segment?.status === "failed" ? "Failed" : "Skipped" };
    default:
      return { state, mark: "done", words: at ? `Shown at ${at}` : "Shown" };
  }
}

/**
 * @param {import("../store.js").Store<AppState>} store
 * @param {import("../controller.js").Controller} controller
 */
export function showQueue(store, controller) {
  const section = byId("queue-section", HTMLElement);
  const list = byId("queue", HTMLOListElement);
  const count = byId("queue-count", HTMLElement);
  /** @type {Map<string, SceneCard>} */
  const cards = new Map();

  reorderable(list, byId("board-scroll", HTMLElement), (item, to) => {
    const shown = queueFacts(store.state);
    const from = [...list.children].indexOf(item);
    const all = store.state.session.prompts;
    if (shown[from] && shown[to]) controller.movePrompt(shown[from].prompt.requestId, all.indexOf(shown[to].prompt));
  });

  store.watch(
    (state) => JSON.stringify(queueFacts(state)),
    (_, state) => {
      const shown = queueFacts(state);
      drawList(list, cards, shown, {
        key: ({ prompt }) => prompt.requestId,
        create: ({ prompt: { requestId } }) =>
          new SceneCard({
            edit: (text) => controller.editPrompt(requestId, text),
            remove: () => controller.dismissPrompt(requestId),
          }),
        draw: (card, { facts }) => card.draw(facts),
      });
      section.hidden = shown.length === 0;
      const waiting = shown.filter(({ facts }) => facts.state === "next" || facts.state === "pending").length;
      setText(count, waiting > 1 ? `${waiting} waiting` : "");
    },
  );
}
