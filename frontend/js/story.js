/**
 * A story: scenes that play one after the other, and how far it has come, as plain data. Scenes before `taken` have been handed to a
 * segment in this round; those from `taken` on are still to come, and only they can be moved.
 *
 * @typedef {object} Scene
 * @property {string} id stays the same while the text changes
 * @property {string} text
 * @property {number | null} segment serial of the newest segment that shows it
 * @property {string | null} refused why the server did not take it
 *
 * @typedef {object} Story
 * @property {string} name
 * @property {string} preset name of the preset that it comes from; empty for none
 * @property {Scene[]} scenes
 * @property {number} taken
 * @property {boolean} playing its scenes are to follow each other by themselves
 * @property {boolean} changed differs from what was chosen or saved
 */

/** As many as a server takes by default. */
export const MAX_SCENES = 64;
/** Playback comes to rest this much before the end of what is there: it is held before it runs dry, and the last sound comes with the next segment. */
const REST_S = 0.25;

/**
 * @param {string[]} [texts]
 * @param {{name?: string, preset?: string}} [origin]
 * @returns {Story}
 */
export function newStory(texts = [], { name = "", preset = "" } = {}) {
  const scenes = texts.slice(0, MAX_SCENES).map((text, index) => newScene(`s${index + 1}`, text));
  return { name, preset, scenes, taken: 0, playing: false, changed: false };
}

/** @param {string} id @param {string} text @returns {Scene} */
const newScene = (id, text) => ({ id, text, segment: null, refused: null });

/** @param {Story} story @returns {string[]} */
export const textsOf = (story) => story.scenes.map(({ text }) => text);

/** @param {Story} story @returns {Scene[]} */
export const toCome = (story) => story.scenes.slice(story.taken);

/**
 * What a server that plays it by itself needs: the scenes to come, and for a loop those that follow them.
 * @param {Story} story
 * @param {boolean} loop
 * @returns {string[]}
 */
export function plan(story, loop) {
  const ahead = toCome(story).map(({ text }) => text);
  return loop ? [...ahead, ...story.scenes.slice(0, story.taken).map(({ text }) => text)] : ahead;
}

/** @param {Story} story @param {string} text @returns {Story} the same one when it is full or the text is empty */
export function sceneAdded(story, text) {
  const words = text.trim();
  if (!words || story.scenes.length >= MAX_SCENES) return story;
  const highest = Math.max(0, ...story.scenes.map(({ id }) => Number(id.slice(1))));
  return { ...story, changed: true, scenes: [...story.scenes, newScene(`s${highest + 1}`, words)] };
}

/** @param {Story} story @param {string} id @param {string} text @returns {Story} */
export function sceneEdited(story, id, text) {
  const words = text.trim();
  if (!words || !story.scenes.some((scene) => scene.id === id && scene.text !== words)) return story;
  return {
    ...story,
    changed: true,
    scenes: story.scenes.map((scene) => (scene.id === id ? { ...scene, text: words, refused: null } : scene)),
  };
}

/** @param {Story} story @param {string} id @returns {Story} */
export function sceneRemoved(story, id) {
  const at = story.scenes.findIndex((scene) => scene.id === id);
  if (at < 0) return story;
  return {
    ...story,
    changed: true,
    scenes: story.scenes.filter((scene) => scene.id !== id),
    taken: at < story.taken ? story.taken - 1 : story.taken,
  };
}

/**
 * Puts a scene that was removed back. What was still to come when it went comes next at the earliest.
 * @param {Story} story
 * @param {Scene} scene
 * @param {{at: number, toCome: boolean}} place where it was
 * @returns {Story} the same one when it is there, or the story is full
 */
export function sceneRestored(story, scene, { at, toCome }) {
  const { scenes, taken } = story;
  if (scenes.length >= MAX_SCENES || scenes.some(({ id }) => id === scene.id)) return story;
  const place = toCome ? Math.min(Math.max(at, taken), scenes.length) : Math.min(at, taken);
  return { ...story, changed: true, scenes: scenes.toSpliced(place, 0, scene), taken: toCome ? taken : taken + 1 };
}

/**
 * Puts a scene that is still to come at another place among those.
 * @param {Story} story
 * @param {string} id
 * @param {number} to index in the whole story; kept among the scenes to come
 * @returns {Story}
 */
export function sceneMoved(story, id, to) {
  const from = story.scenes.findIndex((scene) => scene.id === id);
  const place = Math.min(Math.max(to, story.taken), story.scenes.length - 1);
  if (from < story.taken || from === place) return story;
  const scenes = story.scenes.filter((scene) => scene.id !== id);
  scenes.splice(place, 0, story.scenes[from]);
  return { ...story, changed: true, scenes };
}

/** @param {Story} story @param {boolean} playing @returns {Story} */
export const playingSet = (story, playing) => (story.playing === playing ? story : { ...story, playing });

/** From its first scene on, as if nothing of it had been shown. @param {Story} story @returns {Story} */
export const rewound = (story) => ({
  ...story,
  taken: 0,
  scenes: story.scenes.map((scene) => ({ ...scene, segment: null, refused: null })),
});

/**
 * A segment shows a scene: the one with this id, else the next one with these words, else the next one, whose words were enhanced.
 * A scene from further up means that the story has begun again.
 * @param {Story} story
 * @param {{segment: number, text: string, id: string | null}} start
 * @returns {Story}
 */
export function sceneTaken(story, { segment, text, id }) {
  const { scenes, taken } = story;
  /** @param {(scene: Scene) => boolean} fits */
  const next = (fits) => {
    const at = scenes.findIndex((scene, index) => index >= taken && fits(scene));
    return at >= 0 ? at : scenes.findIndex(fits);
  };
  let at = id === null ? next((scene) => scene.text === text) : next((scene) => scene.id === id);
  if (at < 0) at = taken < scenes.length ? taken : 0;
  if (at >= scenes.length) return story;
  return {
    ...story,
    taken: at + 1,
    scenes: scenes.map((scene, index) => (index === at ? { ...scene, segment, refused: null } : scene)),
  };
}

/** @param {Story} story @param {string} id @param {string} reason @returns {Story} passed over from now on */
export function sceneRefused(story, id, reason) {
  const at = story.scenes.findIndex((scene) => scene.id === id);
  if (at < 0) return story;
  const scenes = story.scenes.map((scene) => (scene.id === id ? { ...scene, refused: reason } : scene));
  return { ...story, scenes, taken: Math.max(story.taken, at + 1) };
}

/**
 * @typedef {"next" | "pending" | "making" | "made" | "playing" | "played" | "skipped" | "refused"} SceneState
 * @param {Story} story
 * @param {number} index
 * @param {import("./segments.js").Segment[]} segments
 * @param {number} position_s of playback
 * @returns {{state: SceneState, segment: import("./segments.js").Segment | null}} where a scene stands, and the segment it stands for
 */
export function sceneState(story, index, segments, position_s) {
  const scene = story.scenes[index];
  const none = { segment: null };
  if (scene.refused !== null) return { state: "refused", ...none };
  if (index >= story.taken) return { state: index === story.taken && story.playing ? "next" : "pending", ...none };
  const segment = segments.find((one) => one.serial === scene.segment);
  // Its segment was long ago; a scene without one was passed over.
  if (!segment) return { state: scene.segment === null ? "skipped" : "played", ...none };
  return { state: segmentState(segment, position_s), segment };
}

/**
 * Where a segment stands for its viewer.
 * @param {import("./segments.js").Segment} segment
 * @param {number} position_s
 * @returns {Extract<SceneState, "making" | "made" | "playing" | "played" | "skipped">}
 */
export function segmentState({ status, start_s, duration_s }, position_s) {
  if (status === "cancelled" || status === "failed") return "skipped";
  if (position_s >= start_s + duration_s - REST_S) return status === "complete" ? "played" : "playing";
  if (status === "generating") return "making";
  return position_s >= start_s - 0.02 && position_s > 0 ? "playing" : "made";
}
