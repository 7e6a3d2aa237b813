import assert from "node:assert/strict";
import { test } from "node:test";

import * as library from "../../frontend/js/library.js";

const TOGGLES = { keepGoing: true, loop: false, singleClip: false };
const story = (name, scenes = ["a scene"]) => ({ name, preset: "", scenes, toggles: TOGGLES, saved: "2026-01-01T00:00:00Z" });

test("a story is kept under its name, in the place of the one that had it", () => {
  let stories = library.kept([], story("One"));
  stories = library.kept(stories, story("Two"));
  stories = library.kept(stories, story(" one ", ["other"]));
  assert.deepEqual(stories.map(({ name }) => name), ["one", "Two"]);
  assert.deepEqual(stories[0].scenes, ["other"]);
  assert.deepEqual(library.removed(stories, "ONE").map(({ name }) => name), ["Two"]);
});

test("what can't be kept is refused in words", () => {
  const problem = (run, words) => assert.throws(run, (error) => error instanceof library.LibraryProblem && words.test(error.message));
  problem(() => library.kept([], story("Empty", [])), /at least one scene/);
  problem(() => library.kept([], story("   ")), /name/);
  const many = Array.from({ length: library.MAX_STORIES }, (_, index) => story(`Story ${index}`));
  problem(() => library.kept(many, story("One more")), /At most 100/);
  assert.equal(library.kept(many, story("story 7", ["new words"])).length, library.MAX_STORIES);
  const long = Array.from({ length: 60 }, () => "x".repeat(4000));
  const four = [1, 2, 3, 4].reduce((all, index) => library.kept(all, story(`Long ${index}`, long)), []);
  problem(() => library.kept(four, story("Too much", long)), /no room/);
});

test("stories go out as a file and come in again", () => {
  const stories = [story("One", ["a", "b"]), story("Two")];
  assert.deepEqual(library.readStories(library.writeStories(stories)), stories);
});

test("a file that holds no stories says so", () => {
  for (const [text, words] of [
    ["nothing", /not JSON/],
    ["null", /that this page saved/],
    ['{"format": "fastvideo-snapshot", "version": 1}', /that this page saved/],
    ['{"format": "fastvideo-stories", "version": 2, "stories": []}', /version 2/],
    ['{"format": "fastvideo-stories", "version": 1, "stories": []}', /holds no stories/],
  ]) {
    assert.throws(() => library.readStories(text), (error) => error instanceof library.LibraryProblem && words.test(error.message));
  }
});

test("whatever lies in the browser's storage, only stories come out, within their bounds", () => {
  for (const value of [null, 7, "x", {}, [null, 1, "x", {}, { name: 1, scenes: [] }, { name: "a", scenes: "b" }, { name: "a", scenes: [1, " "] }]]) {
    assert.deepEqual(library.storiesIn(value), []);
  }
  const [one] = library.storiesIn([{ name: "n".repeat(200), scenes: [...Array(99).keys(), "s".repeat(9000)].map(String), toggles: { loop: "yes" }, more: 1 }]);
  assert.equal(one.name.length, library.MAX_NAME_CHARS);
  assert.equal(one.scenes.length, 64);
  assert.deepEqual(one.toggles, { keepGoing: false, loop: false, singleClip: false });
  assert.deepEqual(Object.keys(one).sort(), ["name", "preset", "saved", "scenes", "toggles"]);
});
