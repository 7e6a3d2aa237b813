import { isOpen } from "./session.js";
import * as prompts from "./prompts.js";
import * as stories from "./story.js";

/**
 * Changes of the story board that can be taken back, the newest last, as plain data. The story goes on meanwhile, so a step says what to
 * restore, not how the whole board looked.
 *
 * @typedef {object} Removed
 * @property {"removed"} kind
 * @property {number} at where it was
 * @property {boolean} toCome it had not been handed to a segment
 *
 * @typedef {object} Moved
 * @property {"moved"} kind
 * @property {number} at where it was
 *
 * @typedef {object} Edited
 * @property {"edited"} kind
 *
 * @typedef {(Removed | Moved | Edited) & ({list: "story", item: stories.Scene} | {list: "queue", item: prompts.Prompt})} Step `item`: as it was
 * @typedef {import("./state.js").AppState} AppState
 */

const MAX_STEPS = 50;

/** @param {Step[]} steps @param {Step} step @returns {Step[]} */
export const noted = (steps, step) => [...steps, step].slice(-MAX_STEPS);

/** @param {Step[]} steps @param {"story" | "queue"} list @returns {Step[]} without those of a list that is another now */
export const forgotten = (steps, list) => (steps.some((step) => step.list === list) ? steps.filter((step) => step.list !== list) : steps);

/**
 * What a change did to a scene, as a step.
 * @param {stories.Story} before
 * @param {Step["kind"]} kind
 * @param {string} id
 * @returns {Step | null} null when there is no such scene
 */
export function sceneStep(before, kind, id) {
  const at = before.scenes.findIndex((scene) => scene.id === id);
  return at < 0 ? null : { list: "story", kind, item: before.scenes[at], at, toCome: at >= before.taken };
}

/**
 * What a change did to a prompt of the viewer's that waits in the page, as a step.
 * @param {prompts.Prompt[]} before
 * @param {Step["kind"]} kind
 * @param {string} requestId
 * @returns {Step | null} null when no such prompt waits there
 */
export function promptStep(before, kind, requestId) {
  const at = before.findIndex((prompt) => prompt.requestId === requestId && prompt.state === "held");
  return at < 0 ? null : { list: "queue", kind, item: before[at], at, toCome: true };
}

/**
 * Takes the newest change back that still can be; those that came too late are passed over.
 * @param {AppState} state
 * @returns {{state: AppState, step: Step | null}}
 */
export function takenBack(state) {
  const undo = [...state.undo];
  for (let step = undo.pop(); step; step = undo.pop()) {
    const before = restored(state, step);
    if (before !== state) return { state: { ...before, undo }, step };
  }
  return { state: state.undo.length > 0 ? { ...state, undo } : state, step: null };
}

/** @param {AppState} state @param {Step} step @returns {AppState} the same one when nothing can be restored */
function restored(state, step) {
  if (step.list === "story") {
    const story = restoredStory(state.story, step);
    return story === state.story ? state : { ...state, story };
  }
  const { session } = state;
  if (!isOpen(session) || session.stopping) return state;
  const list = restoredPrompts(session.prompts, step);
  return list === session.prompts ? state : { ...state, session: { ...session, prompts: list } };
}

/** @param {stories.Story} story @param {Extract<Step, {list: "story"}>} step */
function restoredStory(story, step) {
  if (step.kind === "removed") return stories.sceneRestored(story, step.item, step);
  if (step.kind === "moved") return stories.sceneMoved(story, step.item.id, step.at);
  return stories.sceneEdited(story, step.item.id, step.item.text);
}

/** @param {prompts.Prompt[]} list @param {Extract<Step, {list: "queue"}>} step */
function restoredPrompts(list, step) {
  const { requestId, text } = step.item;
  if (step.kind === "removed") return prompts.restored(list, step.item, step.at);
  if (step.kind === "moved") return prompts.moved(list, requestId, step.at);
  return prompts.edited(list, requestId, text);
}
