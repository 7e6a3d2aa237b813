/**
 * Stories to choose from: the server's presets, and those that the viewer saved in this browser.
 *
 * @typedef {Exclude<import("./state.js").Toggle, "enhance">} Toggle those that belong to a story
 * @typedef {object} Choice what is put on the board
 * @property {string} name
 * @property {string} preset whose look a stream starts with; empty for none
 * @property {string[]} scenes
 * @property {Record<Toggle, boolean>} toggles
 *
 * @typedef {Choice & {saved: string}} SavedStory `saved` is an ISO date; names differ
 */
import { MAX_SCENES } from "./story.js";

export const MAX_STORIES = 100;
export const MAX_NAME_CHARS = 80;
export const MAX_SCENE_CHARS = 4000;
/** All stories together, as text: browsers keep about five million characters for a page. */
export const MAX_TOTAL_CHARS = 1_000_000;

/** A story that can't be kept; its message is for the viewer. */
export class LibraryProblem extends Error {}

/** @param {import("./state.js").Preset} preset @returns {Choice} */
export const choiceOf = ({ name, label, prompts, toggles }) => ({
  name: label,
  preset: name,
  scenes: prompts,
  toggles: {
    keepGoing: toggles.auto_extension ?? false,
    loop: toggles.loop_generation ?? false,
    singleClip: toggles.single_clip_mode ?? false,
  },
});

/**
 * Keeps a story, in the place of one with the same name.
 * @param {SavedStory[]} stories
 * @param {SavedStory} story
 * @returns {SavedStory[]}
 * @throws {LibraryProblem} when it is empty, or there is no room
 */
export function kept(stories, story) {
  const name = story.name.trim().slice(0, MAX_NAME_CHARS);
  if (story.scenes.length === 0) throw new LibraryProblem("A story needs at least one scene.");
  if (!name) throw new LibraryProblem("Give the story a name.");
  const others = removed(stories, name);
  if (others.length >= MAX_STORIES) throw new LibraryProblem(`At most ${MAX_STORIES} stories are kept. Delete one first.`);
  const all = [{ ...story, name }, ...others];
  if (JSON.stringify(all).length > MAX_TOTAL_CHARS) throw new LibraryProblem("There is no room for it. Delete a story first.");
  return all;
}

/** @param {SavedStory[]} stories @param {string} name @returns {SavedStory[]} */
export const removed = (stories, name) => stories.filter((story) => story.name.toLowerCase() !== name.toLowerCase());

/**
 * The stories in a value that may be anything; what is no story is left out.
 * @param {unknown} value
 * @returns {SavedStory[]}
 */
export function storiesIn(value) {
  if (!Array.isArray(value)) return [];
  /** @type {SavedStory[]} */
  let stories = [];
  for (const one of value.slice(0, MAX_STORIES).reverse()) {
    const story = storyIn(one);
    if (!story) continue;
    try {
      stories = kept(stories, story);
    } catch (problem) {
      if (!(problem instanceof LibraryProblem)) throw problem;
    }
  }
  return stories;
}

/** @param {any} value @returns {SavedStory | null} */
function storyIn(value) {
  if (typeof value !== "object" || value === null || typeof value.name !== "string" || !Array.isArray(value.scenes)) return null;
  /** @type {unknown[]} */
  const scenes = value.scenes;
  const texts = scenes.filter((text) => typeof text === "string").map((text) => text.trim().slice(0, MAX_SCENE_CHARS)).filter(Boolean);
  const on = (/** @type {Toggle} */ name) => value.toggles?.[name] === true;
  return {
    name: value.name,
    preset: typeof value.preset === "string" ? value.preset.slice(0, MAX_NAME_CHARS) : "",
    scenes: texts.slice(0, MAX_SCENES),
    toggles: { keepGoing: on("keepGoing"), loop: on("loop"), singleClip: on("singleClip") },
    saved: typeof value.saved === "string" ? value.saved.slice(0, 40) : "",
  };
}

const FORMAT = "fastvideo-stories";

/** @param {SavedStory[]} stories @returns {string} a file for `readStories` */
export const writeStories = (stories) => JSON.stringify({ format: FORMAT, version: 1, stories }, null, 1);

/**
 * @param {string} text of a file
 * @returns {SavedStory[]} at least one
 * @throws {LibraryProblem}
 */
export function readStories(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new LibraryProblem("This file holds no stories: it is not JSON.");
  }
  if (value?.format !== FORMAT) throw new LibraryProblem("This file holds no stories that this page saved.");
  if (value.version !== 1) throw new LibraryProblem(`These stories have version ${value.version}; this page reads version 1.`);
  const stories = storiesIn(value.stories);
  if (stories.length === 0) throw new LibraryProblem("This file holds no stories.");
  return stories;
}
