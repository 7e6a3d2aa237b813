import assert from "node:assert/strict";
import { test } from "node:test";

import { merged, ownIds, reasonWords, sceneAt, scenes, when, withOwn } from "../../frontend/js/recordings/shelf.js";
import * as sessions from "../../frontend/js/session.js";

const ID = "0123456789abcdef0123456789abcdef";
const at = (id, started_at) => ({ id, started_at });
const event = (event, media_s, payload = {}) => ({ event, ts: 0, media_s, payload });

test("only what looks like an id is remembered, each once, the newest first", () => {
  assert.deepEqual(ownIds([ID, "../x", 7, null, ID.toUpperCase()]), [ID]);
  assert.deepEqual(ownIds("nothing"), []);
  assert.deepEqual(withOwn(["b", "a"], "a"), ["a", "b"]);
  assert.equal(withOwn(Array.from({ length: 300 }, (_, index) => `${index}`), "new").length, 200);
});

test("what the server lists and what is one's own are one shelf, the newest first", () => {
  const shelf = merged([at("a", "2026-01-02T00:00:00Z"), at("b", "2026-01-01T00:00:00Z")], [at("c", "2026-01-03T00:00:00Z"), at("a", "2026-01-02T00:00:00Z")]);
  assert.deepEqual(shelf.map(({ id }) => id), ["c", "a", "b"]);
});

test("scenes begin where their prompts began, and those that showed nothing are left out", () => {
  const events = [
    event("recording_start", 0),
    event("ltx2_segment_start", 0, { prompt: "a boat" }),
    event("ltx2_segment_complete", 3),
    event("ltx2_segment_start", 3, { prompt: "cancelled before its first picture" }),
    event("segment_cancelled", 3),
    event("ltx2_segment_start", 3, { prompt: "a storm" }),
    event("recording_end", 5),
  ];
  const found = scenes(events);
  assert.deepEqual(found, [{ start_s: 0, prompt: "a boat" }, { start_s: 3, prompt: "a storm" }]);
  assert.deepEqual([0, 2.9, 3, 9].map((time) => sceneAt(found, time)), [0, 0, 1, 1]);
  assert.deepEqual(scenes([]), []);
});

test("a moment is told as people say it", () => {
  const now = new Date(2026, 4, 10, 12, 0);
  const told = (...date) => when(new Date(...date).toISOString(), now, "en-GB");
  assert.equal(told(2026, 4, 10, 9, 5), "Today, 09:05");
  assert.equal(told(2026, 4, 9, 23, 59), "Yesterday, 23:59");
  assert.equal(told(2026, 4, 1, 8, 0), "1 May, 08:00");
  assert.equal(told(2025, 11, 31, 8, 0), "31 Dec 2025, 08:00");
});

test("an end as one expects it needs no words, any other has some", () => {
  for (const reason of [null, undefined, "stop_requested", "segment_cap"]) assert.equal(reasonWords(reason), "");
  for (const reason of ["interrupted", "disk_full", "session_limit"]) assert.match(reasonWords(reason), /\.$/);
});

test("the session knows whether the server records it", () => {
  const asked = sessions.receive(sessions.connect(0), { type: "recording_status", state: "recording" }, 0);
  assert.deepEqual(asked.recording, { state: "recording", reason: null });
  const ended = sessions.receive(asked, { type: "recording_status", state: "ended", reason: "disk_full" }, 0);
  assert.deepEqual(ended.recording, { state: "ended", reason: "disk_full" });
  assert.equal(sessions.connect(0).recording, null);
});
