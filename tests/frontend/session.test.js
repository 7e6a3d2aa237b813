import assert from "node:assert/strict";
import { test } from "node:test";

import * as prompts from "../../frontend/js/prompts.js";
import { segmentAt, speed } from "../../frontend/js/segments.js";
import * as sessions from "../../frontend/js/session.js";

const START = { type: "ltx2_stream_start", width: 832, height: 480, fps: 24, num_frames: 120 };

function after(...messages) {
  return messages.reduce((session, message) => sessions.receive(session, message, 0), sessions.connect(0));
}

const segment = (index, prompt = "a") => ({ type: "ltx2_segment_start", segment_idx: index, prompt, total_steps: 8 });
const coded = (index, base, duration) => ({ type: "media_segment_complete", segment_idx: index, stream_id: "s", chunks: 1, pts_base_ms: base, duration_ms: duration });
const told = (id, status, reason) => ({ type: "prompt_status", request_id: id, status, reason });
const asking = (session, requestId, now_ms) =>
  sessions.promptsChanged(session, (list) => prompts.asked(list, { requestId, text: "boat", source: "user" }, now_ms));
const done = (index, ms) => ({ type: "ltx2_segment_complete", segment_idx: index, generation_time_ms: ms });

test("a session goes through queue, worker and stream start to active", () => {
  const phases = [];
  let session = sessions.connect(0);
  phases.push(session.phase);
  for (const message of [
    { type: "queue_status", position: 2, queue_depth: 3, eta_ms: 9000, session_id: "x" },
    { type: "gpu_assigned", gpu_id: 0, session_timeout: 300, model_id: "m" },
    START,
  ]) {
    session = sessions.receive(session, message, 0);
    phases.push(session.phase);
  }
  assert.deepEqual(phases, ["connecting", "queued", "starting", "active"]);
  assert.equal(session.id, "x");
  assert.equal(session.queue, null);
  assert.deepEqual(session.worker, { gpu: 0, model: "m", timeout_s: 300 });
});

test("segments lie one after the other, first as expected and then as coded", () => {
  let session = after(START, segment(0), segment(1));
  assert.deepEqual(session.segments.map((one) => [one.start_s, one.duration_s]), [[0, 5], [5, 5]]);
  session = sessions.receive(session, coded(1, 4960, 4800), 0);
  assert.deepEqual([session.segments[1].start_s, session.segments[1].duration_s], [4.96, 4.8]);
});

test("steps and media move the running segment on", () => {
  let session = after(START, segment(0), { type: "step_complete", segment_idx: 0, step: 3, total_steps: 8, stage: "denoise" });
  assert.deepEqual([session.segments[0].step, session.segments[0].status], [3, "generating"]);
  session = sessions.receive(session, { type: "media_init", segment_idx: 0, mime: "m", stream_id: "s" }, 0);
  assert.equal(session.segments[0].status, "receiving");
  session = sessions.receive(session, done(0, 100), 0);
  assert.equal(sessions.runningSegment(session), undefined);
});

test("speed compares what was made with how long it took, over the newest segments", () => {
  const session = after(START, segment(0), coded(0, 0, 5000), done(0, 20000), ...[1, 2, 3].flatMap((i) => [segment(i), coded(i, i * 5000, 5000), done(i, 2500)]));
  assert.equal(speed(session.segments), 2);
  assert.equal(speed(after(START).segments), null);
});

test("the segment at a position is the one that plays there", () => {
  const session = after(START, segment(0), coded(0, 0, 5000), segment(1), coded(1, 5000, 5000));
  assert.equal(segmentAt(session.segments, 4.99)?.index, 0);
  assert.equal(segmentAt(session.segments, 5)?.index, 1);
  assert.equal(segmentAt(after(START).segments, 1), undefined);
});

test("a prompt waits, is applied, and knows its segment and the time from asking to its picture", () => {
  let session = asking(after(START, segment(0), coded(0, 0, 5000), done(0, 1000)), "p1", 1000);
  assert.equal(sessions.isExpecting(session), true);
  for (const message of [told("p1", "pending"), told("p1", "applied"), segment(1, "boat")]) session = sessions.receive(session, message, 0);
  assert.deepEqual([session.prompts[0].state, session.prompts[0].segment, session.segments[1].requestId], ["applied", session.segments[1].serial, "p1"]);
  assert.equal(sessions.pictureShown(session, 5.5, 2000), session, "nothing of it has come yet");
  session = sessions.receive(session, { type: "media_init", segment_idx: 1, mime: "m", stream_id: "s" }, 0);
  assert.equal(sessions.pictureShown(session, 4.9, 2500), session);
  session = sessions.pictureShown(session, 5, 3000);
  assert.deepEqual([session.latency_ms, session.prompts[0].latency_ms], [2000, 2000]);
  assert.equal(sessions.pictureShown(session, 6, 9000), session);
});

test("a segment that nobody asked for belongs to no prompt", () => {
  const session = sessions.receive(asking(after(START), "p1", 0), segment(0), 0);
  assert.equal(session.segments[0].requestId, null);
  assert.equal(session.prompts[0].segment, null);
});

test("a refused prompt stays to be seen, and is nothing to wait for", () => {
  const session = sessions.receive(asking(after(START), "p1", 0), told("p1", "rejected", "limit_exceeded"), 0);
  assert.deepEqual([session.prompts[0].state, session.prompts[0].reason], ["rejected", "limit_exceeded"]);
  assert.equal(sessions.isExpecting(session), false);
});

test("a prompt that could not even be read does not hold up those behind it", () => {
  let session = sessions.promptsChanged(asking(after(START), "p1", 0), (list) => prompts.changed(list, "p1", { state: "sending" }));
  session = sessions.receive(session, { type: "error", code: "worker_failed", message: "x", retryable: true }, 0);
  assert.equal(session.prompts[0].state, "sending");
  session = sessions.receive(session, { type: "error", code: "invalid_message", message: "x", retryable: true }, 0);
  assert.deepEqual([session.prompts[0].state, session.prompts[0].reason], ["rejected", "invalid_message"]);
});

test("media is expected while a segment runs or a prompt waits, but not while generation is paused", () => {
  assert.equal(sessions.isExpecting(after(START)), false);
  assert.equal(sessions.isExpecting(after(START, segment(0))), true);
  const waiting = asking(after(START), "p", 0);
  assert.equal(sessions.isExpecting(sessions.pauseAsked(waiting, true)), false);
});

test("a cancelled segment is marked and the session goes on", () => {
  const session = sessions.receive(sessions.cancelAsked(after(START, segment(0))), { type: "segment_cancelled", segment_idx: 0 }, 0);
  assert.equal(session.segments[0].status, "cancelled");
  assert.equal(session.cancelling, false);
  assert.equal(session.phase, "active");
});

test("a segment that was dropped stays known beside the next one, which has its index", () => {
  const cancelled = { type: "segment_cancelled", segment_idx: 0 };
  const unseen = after(START, segment(0, "never seen"), cancelled, segment(0, "instead"), done(0, 100));
  assert.deepEqual(unseen.segments.map((one) => [one.prompt, one.status, one.start_s]), [["never seen", "cancelled", 0], ["instead", "complete", 0]]);
  const partly = after(START, segment(0), coded(0, 0, 1500), cancelled, segment(0, "instead"), coded(0, 1500, 5000));
  assert.deepEqual(partly.segments.map((one) => [one.serial, one.start_s, one.duration_s]), [[1, 0, 1.5], [2, 1.5, 5]]);
  const again = after(START, segment(0), segment(0));
  assert.equal(again.segments.length, 1, "the same segment from another worker");
});

test("a worker's failure marks the running segment, another error does not", () => {
  const failed = after(START, segment(0), { type: "error", code: "worker_failed", message: "x", retryable: true });
  assert.equal(failed.segments[0].status, "failed");
  const refused = after(START, segment(0), { type: "error", code: "invalid_message", message: "x", retryable: true });
  assert.equal(refused.segments[0].status, "generating");
  assert.equal(refused.problem?.code, "invalid_message");
});

test("the same error twice is told twice", () => {
  const error = { type: "error", code: "invalid_message", message: "x" };
  assert.equal(after(START, error, error).problem?.serial, 2);
});

test("an announced end stays when the connection closes", () => {
  const ended = after(START, segment(0), { type: "ltx2_stream_complete", reason: "segment_cap" });
  const closed = sessions.connectionClosed(ended, { code: 1000, opened: true });
  assert.deepEqual(closed.ending, { kind: "segment_cap", timeout_s: null, closeCode: 1000 });
  assert.equal(sessions.isOpen(closed), false);
});

for (const [name, session, close, kind] of [
  ["a server that is not there", sessions.connect(0), { code: 1006, opened: false }, "unreachable"],
  ["a full server", after({ type: "error", code: "session_rejected", message: "full" }), { code: 1013, opened: true }, "refused"],
  ["a lost connection", after(START), { code: 1006, opened: true }, "lost"],
  ["a broken server", after(START, { type: "error", code: "internal_error", message: "x" }), { code: 1011, opened: true }, "error"],
]) {
  test(`${name} ends the session as ${kind}`, () => {
    assert.equal(sessions.connectionClosed(session, close).ending?.kind, kind);
  });
}

test("when a session ends nothing runs and nothing waits", () => {
  const busy = asking(after(START, segment(0)), "p", 0);
  const closed = sessions.connectionClosed(busy, { code: 1006, opened: true });
  assert.equal(closed.segments[0].status, "cancelled");
  assert.deepEqual(closed.prompts, []);
});

test("an idle session that times out says so", () => {
  const session = after(START, { type: "session_timeout", timeout_seconds: 300 });
  assert.deepEqual([session.phase, session.ending?.kind, session.ending?.timeout_s], ["ended", "timeout", 300]);
});

test("late media is counted", () => {
  const session = after(START, { type: "deadline_missed", late_ms: 40 }, { type: "deadline_missed", late_ms: 90 });
  assert.deepEqual(session.late, { count: 2, last_ms: 90 });
});

test("the first picture is timed once", () => {
  const session = sessions.firstFrameShown(sessions.connect(1000), 1400);
  assert.equal(session.firstFrame_ms, 400);
  assert.equal(sessions.firstFrameShown(session, 9000), session);
});

test("messages of unknown types change nothing", () => {
  const session = after(START);
  assert.equal(sessions.receive(session, { type: "from_the_future" }, 0), session);
});

test("a session of many hours keeps only its newest segments", () => {
  const session = after(START, ...Array.from({ length: 250 }, (_, index) => segment(index)));
  assert.equal(session.segments.length, 200);
  assert.equal(session.segments.at(-1)?.index, 249);
  assert.equal(session.segments[0].start_s, 250);
});
