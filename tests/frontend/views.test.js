import assert from "node:assert/strict";
import { test } from "node:test";

import { asked } from "../../frontend/js/prompts.js";
import * as sessions from "../../frontend/js/session.js";
import { newStory, playingSet } from "../../frontend/js/story.js";
import { spokenState, summarize } from "../../frontend/js/views/header.js";
import { nowText, spokenSegment } from "../../frontend/js/views/now.js";
import { coverOf, coverText, hintText } from "../../frontend/js/views/stage.js";
import { shownWords } from "../../frontend/js/views/queue.js";
import { segmentFacts, takesOf, upcoming } from "../../frontend/js/views/timeline.js";
import { whisperOf } from "../../frontend/js/views/whisper.js";

const START = { type: "ltx2_stream_start", width: 832, height: 480, fps: 24, num_frames: 120 };
const SEGMENT = { type: "ltx2_segment_start", segment_idx: 0, prompt: "a boat", total_steps: 8 };
const EMPTY = { state: "empty", end_s: 0, position_s: 0 };
const recording = { bytes: 0, dropped: 0 };

const after = (...messages) => messages.reduce((session, message) => sessions.receive(session, message, 0), sessions.connect(0));
const shown = (session) => sessions.firstFrameShown(session, 300);

test("the hero gives way to waiting, waiting to the picture, the picture to the end", () => {
  assert.equal(coverOf({ session: sessions.newSession(), playback: EMPTY }), "hero");
  assert.equal(coverOf({ session: after(START, SEGMENT), playback: EMPTY }), "wait");
  const playing = { state: "playing", end_s: 3, position_s: 1 };
  assert.equal(coverOf({ session: shown(after(START, SEGMENT)), playback: playing }), "none");
  const ended = shown(after(START, SEGMENT, { type: "ltx2_stream_complete" }));
  assert.equal(coverOf({ session: ended, playback: playing }), "none");
  assert.equal(coverOf({ session: ended, playback: { ...playing, state: "ended" } }), "over");
  assert.equal(coverOf({ session: ended, playback: EMPTY }), "failed");
});

test("a place in the queue is told with its wait and a way out", () => {
  const session = after({ type: "queue_status", position: 3, queue_depth: 5, eta_ms: 42_000 });
  const text = coverText({ session, recording });
  assert.equal(text.title, "3 ahead of you");
  assert.match(text.detail, /about 42 s/);
  assert.deepEqual(text.actions.map(({ run }) => run), ["leave"]);
});

test("the first segment's steps are shown as progress", () => {
  const session = after(START, SEGMENT, { type: "step_complete", segment_idx: 0, step: 2, total_steps: 8, stage: "denoise" });
  const text = coverText({ session, recording });
  assert.equal(text.done, 0.25);
  assert.equal(text.detail, "Denoising, step 2 of 8");
  const now = nowText({ session, info: { features: { segment_cap: 6 } }, toggles: {} });
  assert.deepEqual([now.title, now.steps], ["Making segment 1 of 6", [2, 8]]);
});

test("a stream that goes on by itself does not ask for the next prompt", () => {
  const complete = { type: "ltx2_segment_complete", segment_idx: 0, generation_time_ms: 1 };
  const session = after(START, SEGMENT, complete);
  const title = (toggles) => nowText({ session, info: null, toggles }).title;
  assert.equal(title({ keepGoing: true }), "Far enough ahead");
  assert.equal(title({ keepGoing: true, singleClip: true }), "Your turn");
  assert.equal(title({}), "Your turn");
});

test("an end offers to start again, and a download when something arrived", () => {
  const session = after(START, { type: "ltx2_stream_complete", reason: "segment_cap" });
  assert.deepEqual(coverText({ session, recording }).actions.map(({ run }) => run), ["again"]);
  assert.deepEqual(coverText({ session, recording: { bytes: 9, dropped: 0 } }).actions.map(({ run }) => run), ["again", "download"]);
});

test("a picture that stands still says why", () => {
  const idle = { state: "idle", end_s: 5, position_s: 5 };
  assert.deepEqual(hintText({ session: shown(after(START)), playback: idle }), { text: "Waiting for your next prompt.", calm: true });
  const running = shown(after(START, SEGMENT));
  assert.equal(hintText({ session: running, playback: { ...idle, state: "stalled" } })?.calm, false);
  assert.equal(hintText({ session: sessions.pauseAsked(shown(after(START)), true), playback: idle })?.text, "Generation is paused.");
  assert.equal(hintText({ session: running, playback: { ...idle, state: "playing" } }), null);
});

test("the window's title follows the state", () => {
  const titles = [
    [sessions.newSession(), EMPTY],
    [after({ type: "queue_status", position: 2, queue_depth: 3 }), EMPTY],
    [after(START, SEGMENT), EMPTY],
    [after(START, SEGMENT), { state: "playing" }],
    [after(START, SEGMENT), { state: "stalled" }],
    [after(START), { state: "idle" }],
    [sessions.connectionClosed(after(START), { code: 1006, opened: true }), { state: "playing" }],
  ].map(([session, playback]) => summarize({ session, playback }).title);
  assert.deepEqual(titles, ["", "2 ahead", "Generating", "▶ Live", "Catching up", "Your turn", "Disconnected"]);
});

test("segments that continue the same words by themselves are one take, which keeps its name while its beginning leaves", () => {
  const of = (index, prompt, source) => ({ serial: index, index, prompt, source, duration_s: 2 });
  const segments = [of(0, "a", "user"), of(1, "a", "auto_extension"), of(2, "a", "auto_extension"), of(3, "a", "user"), of(4, "b", "auto_extension")];
  const takes = (newest) => takesOf(segments, newest).map(({ key, segments: ones }) => [key, ...ones.map(({ index }) => index)]);
  assert.deepEqual(takes(9), [["0", 0, 1, 2], ["3", 3], ["4", 4]]);
  assert.deepEqual(takes(3), [["0", 2], ["3", 3], ["4", 4]]);
});

test("what comes next is the viewer's prompts, then the scenes of a story that plays", () => {
  const session = after(START);
  session.prompts = asked([], { requestId: "p1", text: "mine", source: "user" }, 0);
  const story = newStory(["a", "b", "c"]);
  assert.deepEqual(upcoming({ session, story }), ["mine"]);
  assert.deepEqual(upcoming({ session, story: playingSet(story, true) }), ["mine", "a", "b"]);
});

test("a card says when its prompt is made, when it is on screen, and when it was", () => {
  const words = (state, segment, position_s) => shownWords(state, segment, position_s).words;
  const segment = { start_s: 65, step: 2, total_steps: 4, status: "generating" };
  assert.equal(words("making", segment, 60), "Being made · step 2 of 4");
  assert.equal(words("made", segment, 61.2), "From 1:05, in 4 s");
  assert.equal(words("playing", segment, 66), "On screen now");
  assert.equal(words("played", segment, 80), "Shown at 1:05");
});

test("late media, a hold and words that stayed as they were are whispered, once each", () => {
  const before = after(START, SEGMENT);
  const late = sessions.receive(before, { type: "deadline_missed", late_ms: 412 }, 0);
  assert.match(whisperOf(before, late).text, /412 ms late/);
  assert.equal(whisperOf(late, { ...late }), null);
  const blocked = sessions.receive(late, { type: "generation_blocked", reason: "worker_failed" }, 0);
  assert.equal(whisperOf(late, blocked).text, "The last segment failed. Send a prompt to go on.");
  assert.equal(whisperOf(blocked, sessions.receive(blocked, { type: "generation_resumed" }, 0)).text, "Generation goes on");
  const enhancement = { operation: "enhance", applied: false, original: "a", reason: "timeout", latency_ms: 9 };
  const plain = sessions.receive(before, { ...SEGMENT, segment_idx: 1, enhancement }, 0);
  assert.match(whisperOf(before, plain).text, /took too long/);
  assert.equal(whisperOf(plain, sessions.receive(plain, { type: "step_complete", segment_idx: 1, step: 1, total_steps: 8, stage: "denoise" }, 0)), null);
});

test("a block says how long its segment plays, how long it took, and how fast that was", () => {
  const session = after(
    START,
    SEGMENT,
    { type: "media_segment_complete", segment_idx: 0, stream_id: "s", chunks: 1, duration_ms: 5000, pts_base_ms: 0 },
    { type: "ltx2_segment_complete", segment_idx: 0, generation_time_ms: 4000 },
  );
  assert.equal(segmentFacts(session.segments[0]), "5.0 s in 4.0 s · 1.3×");
});

test("what is said aloud is the way to a stream, and the segments that somebody asked for", () => {
  const status = { type: "queue_status", position: 2, queue_depth: 3 };
  const states = [sessions.newSession(), sessions.connect(0), after(status), after(status, START), { ...after(START), reconnecting: true }];
  assert.deepEqual(
    states.map((session) => spokenState({ session, playback: EMPTY })),
    ["", "Connecting", "2 ahead of you", "", "Reconnecting"],
  );
  assert.equal(spokenState({ session: after(START), playback: { ...EMPTY, state: "stalled" } }), "", "it would be said again and again");

  const second = { serial: 2, index: 1, prompt: "a boat", source: "user", requestId: null };
  assert.equal(spokenSegment(undefined), "");
  assert.equal(spokenSegment({ ...second, serial: 1, source: "curated" }), "Making segment 2: a boat");
  assert.equal(spokenSegment({ ...second, source: "auto_extension" }), "");
  assert.equal(spokenSegment({ ...second, source: "curated", requestId: "p1" }), "");
  assert.equal(spokenSegment({ ...second, source: "enhanced", requestId: "p1" }), "Making segment 2: a boat");
});
