import assert from "node:assert/strict";
import { test } from "node:test";

import { asked, changed, dismissed, edited, moved } from "../../frontend/js/prompts.js";
import { connect } from "../../frontend/js/session.js";
import { initialState } from "../../frontend/js/state.js";
import { newStory, sceneEdited, sceneMoved, sceneRemoved, sceneTaken, textsOf } from "../../frontend/js/story.js";
import { forgotten, noted, promptStep, sceneStep, takenBack } from "../../frontend/js/undo.js";
import { undoLabel, undoneWords } from "../../frontend/js/views/undo.js";

const open = { ...connect(0), phase: "active" };

function board(texts, prompts = []) {
  const session = { ...open, prompts: prompts.reduce((list, text) => asked(list, { requestId: text, text, source: "user" }, 0), []) };
  return { ...initialState({ state: "empty" }), story: newStory(texts), session };
}

const CHANGES = { removed: sceneRemoved, moved: sceneMoved, edited: sceneEdited };
const QUEUED = { removed: dismissed, moved, edited };

/** The board after a change of a scene, which is remembered. */
const scene = (state, kind, id, ...how) => ({
  ...state,
  story: CHANGES[kind](state.story, id, ...how),
  undo: noted(state.undo, sceneStep(state.story, kind, id)),
});

const prompt = (state, kind, id, ...how) => ({
  ...state,
  session: { ...state.session, prompts: QUEUED[kind](state.session.prompts, id, ...how) },
  undo: noted(state.undo, promptStep(state.session.prompts, kind, id)),
});

const shown = (state) => textsOf(state.story).join(" ");
const queued = (state) => state.session.prompts.map(({ text }) => text).join(" ");

test("changes are taken back from the newest to the oldest", () => {
  let state = board(["a", "b", "c", "d"]);
  state = scene(state, "removed", "s2");
  state = scene(state, "moved", "s4", 0);
  state = scene(state, "edited", "s1", "a2");
  assert.equal(shown(state), "d a2 c");
  const seen = [];
  for (;;) {
    const { state: after, step } = takenBack(state);
    state = after;
    if (!step) break;
    seen.push(shown(state));
  }
  assert.deepEqual(seen, ["d a c", "a c d", "a b c d"]);
  assert.deepEqual(state.undo, []);
});

test("a scene that was to come is to come again, though the story has passed its place", () => {
  let state = scene(board(["a", "b", "c", "d"]), "removed", "s2");
  state = { ...state, story: sceneTaken(sceneTaken(state.story, { segment: 1, text: "a", id: null }), { segment: 2, text: "c", id: null }) };
  const { story } = takenBack(state).state;
  assert.deepEqual(textsOf(story), ["a", "c", "b", "d"]);
  assert.equal(story.taken, 2);
});

test("a scene that was played comes back as one that was", () => {
  const state = board(["a", "b", "c"]);
  const played = { ...state, story: sceneTaken(state.story, { segment: 7, text: "a", id: null }) };
  const { story } = takenBack(scene(played, "removed", "s1")).state;
  assert.deepEqual(textsOf(story), ["a", "b", "c"]);
  assert.deepEqual([story.taken, story.scenes[0].segment], [1, 7]);
});

test("what cannot be taken back any more is passed over", () => {
  let state = scene(scene(board(["a", "b"]), "edited", "s2", "b2"), "moved", "s2", 0);
  state = { ...state, story: sceneTaken(state.story, { segment: 1, text: "b2", id: null }) };
  const { state: after, step } = takenBack(state);
  assert.equal(step.kind, "edited");
  assert.equal(shown(after), "b a", "it is being made already, so it stays where it is");
  assert.equal(takenBack(after).step, null);
});

test("own prompts that wait in the page come back to their place", () => {
  let state = board([], ["one", "two", "three", "four"]);
  state = { ...state, session: { ...open, prompts: changed(state.session.prompts, "one", { state: "pending" }) } };
  state = prompt(state, "removed", "two");
  state = prompt(state, "moved", "four", 1);
  assert.equal(queued(state), "one four three");
  state = takenBack(state).state;
  assert.equal(queued(state), "one three four");
  assert.equal(queued(takenBack(state).state), "one two three four");
});

test("a prompt comes back behind those that went to the server meanwhile, and not into another stream", () => {
  let state = prompt(board([], ["one", "two", "three"]), "removed", "one");
  state = { ...state, session: { ...open, prompts: changed(state.session.prompts, "two", { state: "sending" }) } };
  assert.equal(queued(takenBack(state).state), "two one three");
  const ended = { ...state, session: { ...state.session, phase: "ended" } };
  assert.equal(takenBack(ended).step, null);
  assert.deepEqual(forgotten(state.undo, "queue"), []);
});

test("what is at the server cannot be changed, so nothing of it is remembered", () => {
  const { session } = board([], ["one"]);
  assert.equal(promptStep(changed(session.prompts, "one", { state: "pending" }), "removed", "one"), null);
});

test("the button says what it would do", () => {
  const { undo } = scene(board([`a ${"very ".repeat(20)}long scene`]), "removed", "s1");
  assert.match(undoLabel(undo[0]), /^Put back “a very .*…”$/);
  assert.equal(undoLabel(undefined), "Nothing to take back");
  assert.equal(undoneWords(null), "Nothing to take back");
});
