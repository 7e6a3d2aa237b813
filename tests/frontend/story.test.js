import assert from "node:assert/strict";
import { test } from "node:test";

import * as stories from "../../frontend/js/story.js";

const SEGMENT = { serial: 0, index: 0, status: "complete", start_s: 0, duration_s: 5 };
const taken = (story, segment, text, id = null) => stories.sceneTaken(story, { segment, text, id });
const texts = (story) => stories.textsOf(story).join(" ");
const abcd = () => stories.newStory(["a", "b", "c", "d"]);

test("segments take the scenes in their order, and what is to come gets shorter", () => {
  let story = abcd();
  assert.deepEqual(stories.plan(story, false), ["a", "b", "c", "d"]);
  story = taken(taken(story, 0, "a"), 1, "b");
  assert.deepEqual(stories.plan(story, false), ["c", "d"]);
  assert.deepEqual(story.scenes.map(({ segment }) => segment), [0, 1, null, null]);
});

test("a loop plays what is to come and then the rest", () => {
  const story = taken(taken(abcd(), 0, "a"), 1, "b");
  assert.deepEqual(stories.plan(story, true), ["c", "d", "a", "b"]);
});

test("the same words twice are two scenes, and the first one again begins another round", () => {
  let story = stories.newStory(["a", "a", "b"]);
  story = taken(story, 0, "a");
  story = taken(story, 1, "a");
  assert.equal(story.taken, 2);
  story = taken(taken(story, 2, "b"), 3, "a");
  assert.equal(story.taken, 1);
  assert.equal(story.scenes[0].segment, 3);
});

test("words that are not the scene's own belong to the next scene", () => {
  const story = taken(taken(abcd(), 0, "a"), 1, "b, enhanced");
  assert.deepEqual([story.taken, story.scenes[1].segment], [2, 1]);
});

test("a scene that was asked for by its id is that scene, wherever it stands", () => {
  assert.equal(taken(abcd(), 0, "whatever", "s3").taken, 3);
});

test("only scenes that are still to come are moved, among themselves", () => {
  const story = taken(abcd(), 0, "a");
  assert.equal(texts(stories.sceneMoved(story, "s4", 1)), "a d b c");
  assert.equal(texts(stories.sceneMoved(story, "s4", 0)), "a d b c");
  assert.equal(texts(stories.sceneMoved(story, "s2", 99)), "a c d b");
  assert.equal(stories.sceneMoved(story, "s1", 3), story);
  assert.equal(stories.sceneMoved(story, "nobody", 1), story);
});

test("a scene that is removed takes its place in the round with it", () => {
  const story = taken(taken(abcd(), 0, "a"), 1, "b");
  assert.deepEqual([stories.sceneRemoved(story, "s1").taken, texts(stories.sceneRemoved(story, "s1"))], [1, "b c d"]);
  assert.deepEqual([stories.sceneRemoved(story, "s3").taken, texts(stories.sceneRemoved(story, "s3"))], [2, "a b d"]);
});

test("scenes are added and edited with words, up to a limit, under ids of their own", () => {
  let story = stories.sceneRemoved(abcd(), "s2");
  story = stories.sceneAdded(story, "  new ");
  assert.deepEqual(story.scenes.at(-1), { id: "s5", text: "new", segment: null, refused: null });
  assert.equal(stories.sceneAdded(story, "  "), story);
  assert.equal(stories.sceneEdited(story, "s5", "new"), story);
  assert.equal(stories.sceneEdited(story, "s5", "newer").scenes.at(-1).text, "newer");
  const full = stories.newStory(Array.from({ length: 80 }, String));
  assert.equal(full.scenes.length, stories.MAX_SCENES);
  assert.equal(stories.sceneAdded(full, "one more"), full);
});

test("a scene is pending, next, made, on screen and over", () => {
  const at = (story, segments, position_s, index = 0) => stories.sceneState(story, index, segments, position_s).state;
  const playing = stories.playingSet(abcd(), true);
  assert.deepEqual([at(abcd(), [], 0), at(playing, [], 0), at(playing, [], 0, 1)], ["pending", "next", "pending"]);
  const story = taken(playing, 0, "a");
  const states = [
    [{ ...SEGMENT, status: "generating" }, 0],
    [{ ...SEGMENT, status: "receiving", start_s: 5 }, 3],
    [{ ...SEGMENT, status: "receiving", start_s: 5 }, 5],
    [SEGMENT, 4.7],
    [SEGMENT, 4.9],
    [{ ...SEGMENT, status: "cancelled" }, 1],
  ].map(([segment, position_s]) => at(story, [segment], position_s));
  assert.deepEqual(states, ["making", "made", "playing", "playing", "played", "skipped"]);
  assert.equal(at(story, [], 300), "played", "its segment was long ago");
  assert.equal(at(taken(playing, 0, "c"), [], 0, 1), "skipped", "the server passed it over");
  assert.equal(at(stories.sceneRefused(story, "s2", "prompt_blocked"), [], 0, 1), "refused");
});

test("a refused scene is passed over, and other words give it another chance in the next round", () => {
  const story = stories.sceneRefused(taken(abcd(), 0, "a"), "s2", "prompt_blocked");
  assert.deepEqual(stories.plan(story, false), ["c", "d"]);
  assert.equal(stories.sceneEdited(story, "s2", "milder").scenes[1].refused, null);
  assert.deepEqual(stories.plan(stories.rewound(story), false), ["a", "b", "c", "d"]);
});
