import assert from "node:assert/strict";
import { test } from "node:test";

import { connect, receive } from "../../frontend/js/session.js";
import { asked, changed } from "../../frontend/js/prompts.js";
import { initialState } from "../../frontend/js/state.js";
import { Store } from "../../frontend/js/store.js";
import { StoryPlayer } from "../../frontend/js/story_player.js";
import { textsOf } from "../../frontend/js/story.js";

const PLAYBACK = { state: "empty", position_s: 0, end_s: 0 };
const START = { type: "ltx2_stream_start", width: 64, height: 64, fps: 24, num_frames: 48 };
const ALONE = { keepGoing: false, loop: false, singleClip: false };

/** The page's own loop without a server: what is sent is noted, and the test answers. */
function playerWith(toggles, scenes = ["a", "b", "c"]) {
  // What a message changes is delivered once it is dealt with, as in the page.
  const turns = [];
  const deliver = () => {
    while (turns.length > 0) turns.shift()();
  };
  const store = new Store(initialState(PLAYBACK), (run) => turns.push(run));
  const seen = [];
  let requests = 0;
  const stream = {
    begin(curated) {
      store.update((state) => ({ ...state, session: connect(0), lastStart: { prompt: "", story: state.story.playing } }));
      story.streamBegins();
      seen.push(["begin", ...curated]);
    },
    submit: (text) => seen.push(["submit", text]),
    send: (message) => seen.push(message.type === "seed_prompts_updated" ? ["seeds", ...message.seed_prompts] : [message.type]),
    ask(text, source) {
      const requestId = `p${(requests += 1)}`;
      seen.push([source, text]);
      store.update((state) => ({ ...state, session: { ...state.session, prompts: asked(state.session.prompts, { requestId, text, source }, 0) } }));
      return requestId;
    },
  };
  const story = new StoryPlayer(store, stream);
  story.choose({ name: "", preset: "", scenes, toggles: { ...ALONE, ...toggles } });
  const say = (...messages) => {
    for (const message of messages) {
      store.update((state) => ({ ...state, session: receive(state.session, message, 0) }));
      story.received(message);
      deliver();
    }
  };
  const change = (part) => {
    store.update((state) => ({ ...state, ...part(state) }));
    deliver();
  };
  const segment = (index, prompt, source = "curated") => say({ type: "ltx2_segment_start", segment_idx: index, prompt, source, total_steps: 4 });
  const complete = (index) => say({ type: "ltx2_segment_complete", segment_idx: index, generation_time_ms: 1 });
  return { store, change, story, say, segment, complete, seen: () => seen.splice(0) };
}

test("a server that goes on by itself gets the scenes to come at the start and after each change", () => {
  const { store, story, say, segment, seen } = playerWith({ keepGoing: true });
  story.play();
  say(START);
  segment(0, "a");
  assert.deepEqual(seen(), [["begin", "a", "b", "c"], ["seeds", "a", "b", "c"]]);
  story.add("d");
  story.move("s3", 1);
  story.edit("s2", "b2");
  story.remove("s4");
  assert.deepEqual(seen(), [["seeds", "b", "c", "d"], ["seeds", "c", "b", "d"], ["seeds", "c", "b2", "d"], ["seeds", "c", "b2"]]);
  assert.equal(textsOf(store.state.story).join(" "), "a c b2");
});

test("an edit of what has been played is told to a loop only", () => {
  const { story, say, segment, seen } = playerWith({ loop: true });
  story.play();
  say(START);
  segment(0, "a");
  seen();
  story.edit("s1", "a2");
  assert.deepEqual(seen(), [["seeds", "b", "c", "a2"]]);
});

test("words like those of the running segment are not passed over", () => {
  const { story, say, segment, seen } = playerWith({ keepGoing: true }, ["a", "a", "b"]);
  story.play();
  say(START);
  segment(0, "a");
  seen();
  story.add("c");
  assert.deepEqual(seen(), [["seeds", "a", "a", "b", "c"]]);
});

test("a story that is held leaves the server without scenes, and goes on where it was", () => {
  const { story, say, segment, seen } = playerWith({ keepGoing: true });
  story.play();
  say(START);
  segment(0, "a");
  seen();
  story.hold();
  story.hold();
  story.add("d");
  assert.deepEqual(seen(), [["seeds"]]);
  story.play();
  assert.deepEqual(seen(), [["seeds", "b", "c", "d"]]);
});

test("after a skipped segment the story goes on with its next scene", () => {
  const { store, story, say, segment, seen } = playerWith({ keepGoing: true });
  story.play();
  say(START);
  segment(0, "a");
  seen();
  say({ type: "segment_cancelled", segment_idx: 0 });
  assert.deepEqual(seen(), [["seeds", "b", "c"]]);
  assert.equal(store.state.story.taken, 1);
});

test("where the server does not go on by itself, each scene is asked for when its time has come", () => {
  const { store, change, story, say, segment, complete, seen } = playerWith({ singleClip: true, keepGoing: true });
  const position = (position_s) => change((state) => ({ playback: { ...state.playback, position_s } }));
  story.play();
  say(START);
  assert.deepEqual(seen(), [["begin"], ["curated", "a"]]);
  say({ type: "prompt_status", request_id: "p1", status: "pending" }, { type: "prompt_status", request_id: "p1", status: "applied" });
  segment(0, "a");
  say({ type: "media_segment_complete", segment_idx: 0, pts_base_ms: 0, duration_ms: 6000 });
  complete(0);
  assert.deepEqual(seen(), [], "six seconds lie ahead");
  position(2.5);
  assert.deepEqual(seen(), [["curated", "b"]]);
  position(3);
  assert.deepEqual(seen(), [], "asked for once");
  say({ type: "prompt_status", request_id: "p2", status: "rejected", reason: "prompt_blocked" });
  assert.deepEqual(seen(), [["curated", "c"]]);
  assert.equal(store.state.story.scenes[1].refused, "prompt_blocked");
});

test("the viewer's own prompts come before the story's scenes", () => {
  const { change, story, say, seen } = playerWith({});
  story.play();
  change(({ session }) => ({ session: { ...session, prompts: asked([], { requestId: "u1", text: "mine", source: "user" }, 0) } }));
  say(START);
  assert.deepEqual(seen(), [["begin"]]);
  change(({ session }) => ({ session: { ...session, prompts: changed(session.prompts, "u1", { state: "applied" }) } }));
  assert.deepEqual(seen(), [["curated", "a"]]);
});

test("a segment of the viewer's own prompt takes no scene, even with the same words", () => {
  const { store, story, say, segment } = playerWith({ keepGoing: true });
  story.play();
  say(START);
  segment(0, "a", "user");
  assert.equal(store.state.story.taken, 0);
});

test("a new stream begins the story anew, and starting again does what the last start did", () => {
  const { store, change, story, say, segment, seen } = playerWith({ keepGoing: true });
  story.play();
  say(START);
  segment(0, "a");
  say({ type: "ltx2_stream_complete", reason: "stop_requested" });
  assert.equal(store.state.story.playing, false);
  seen();
  story.startAgain();
  assert.deepEqual(seen(), [["begin", "a", "b", "c"]]);
  change(({ session }) => ({ session: { ...session, phase: "ended" }, lastStart: { prompt: "a boat", story: false } }));
  story.startAgain();
  assert.deepEqual(seen(), [["submit", "a boat"]]);
});

test("the scenes to come are rewritten, and the server has its list again at once", () => {
  const { store, story, say, segment, seen } = playerWith({ keepGoing: true });
  story.play();
  say(START);
  segment(0, "a");
  seen();
  story.rewrite("at night");
  assert.deepEqual(seen(), [["seeds", "b", "c"], ["rewrite_seed_prompts"], ["seeds", "b", "c"]]);
  say({ type: "rewrite_seed_prompts_complete", alternatives: ["b at night", "c at night"], latency_ms: 1 });
  segment(1, "b");
  seen();
  story.acceptAlternative(1);
  story.acceptAlternative(0);
  assert.deepEqual(textsOf(store.state.story), ["a", "b", "c at night", "b at night"], "what was played is not changed");
  assert.deepEqual(seen(), [["seeds", "c at night"], ["seeds", "c at night", "b at night"]]);
  assert.equal(store.state.rewrite.phase, "idle");
});

test("a story that is held is rewritten without being played", () => {
  const { store, story, say, seen } = playerWith({ keepGoing: true }, ["a"]);
  story.play();
  say(START);
  story.hold();
  seen();
  story.rewrite("");
  assert.deepEqual(seen(), [["seeds", "a"], ["rewrite_seed_prompts"], ["seeds"]]);
  say({ type: "rewrite_seed_prompts_complete", alternatives: ["x", "y", "z"], latency_ms: 1 });
  story.acceptAlternative(1);
  assert.deepEqual([textsOf(store.state.story), store.state.rewrite.alternatives], [["y"], []]);
});
