import assert from "node:assert/strict";
import { test } from "node:test";

import { clock, counted, fileSize, milliseconds, times, wait } from "../../frontend/js/format.js";
import { PromptHistory } from "../../frontend/js/history.js";
import { SnapshotError, readSnapshot, writeSnapshot } from "../../frontend/js/snapshot_file.js";
import { sparkPath } from "../../frontend/js/views/health.js";
import { endingWords, problemWords, promptHint } from "../../frontend/js/wording.js";

const problem = { code: "internal_error", reason: "", message: "", retryable: false, retryAfter_s: null, serial: 1 };

test("numbers read well", () => {
  assert.equal(clock(65.9), "1:05");
  assert.equal(milliseconds(412.4), "412 ms");
  assert.equal(milliseconds(2345), "2.35 s");
  assert.equal(milliseconds(12345), "12.3 s");
  assert.equal(wait(200), "about 1 s");
  assert.equal(wait(150_000), "about 3 min");
  assert.equal(times(1.24), "1.2×");
  assert.equal(fileSize(431_000), "431 kB");
  assert.equal(fileSize(2_500_000), "2.5 MB");
  assert.equal(counted(1, "frame"), "1 frame");
  assert.equal(counted(0, "frame"), "0 frames");
});

test("a reason explains more than its code", () => {
  const { title } = problemWords({ ...problem, code: "invalid_message", reason: "limit_exceeded" });
  assert.equal(title, "That is more than this server allows");
});

test("the server's sentence comes before what to do", () => {
  const { detail } = problemWords({ ...problem, code: "worker_failed", message: "the worker stopped" });
  assert.match(detail, /^The worker stopped\. Send the prompt again\./);
});

test("a code from the future still gets words", () => {
  assert.equal(problemWords({ ...problem, code: "something_new" }).title, "Something went wrong on the server");
});

test("a wait that the server names is passed on", () => {
  assert.match(problemWords({ ...problem, reason: "rate_limited", retryAfter_s: 3.2 }).detail, /in 4 s/);
});

test("every ending has words", () => {
  for (const kind of ["segment_cap", "stop_requested", "error", "timeout", "lost", "unreachable", "refused"]) {
    const words = endingWords({ kind, timeout_s: 300, closeCode: 1000 }, null);
    assert.ok(words.title && words.detail, kind);
  }
});

test("the prompt box says what a model with a world of its own can show", () => {
  assert.match(promptHint("embedded-ltx2", false), /shape/);
  assert.match(promptHint("embedded-ltx2", true), /turns green/);
  assert.equal(promptHint("ltx-2-19b-distilled", false), promptHint(undefined, false));
});

test("a snapshot that was written is read back", () => {
  const snapshot = { state: { kind: "ltx2.v1", payload: { segment_index: 3 } }, prompt: "boat" };
  assert.deepEqual(readSnapshot(writeSnapshot(snapshot, new Date(0))), snapshot);
  const signed = { ...snapshot, state: { ...snapshot.state, signature: "fvs1.x" } };
  assert.deepEqual(readSnapshot(writeSnapshot(signed, new Date(0))), signed);
});

test("a bare state from another client is read too", () => {
  assert.deepEqual(readSnapshot('{"kind":"ltx2.v1","payload":{}}'), { state: { kind: "ltx2.v1", payload: {} }, prompt: "" });
});

for (const [name, text] of [
  ["no JSON", "hello"],
  ["a list", "[]"],
  ["nothing", "null"],
  ["a state without kind", '{"payload":{}}'],
  ["an empty kind", '{"kind":"","payload":{}}'],
  ["a payload that is a list", '{"kind":"a","payload":[]}'],
  ["a newer version", '{"format":"fastvideo-snapshot","version":2,"state":{"kind":"a","payload":{}}}'],
]) {
  test(`a snapshot file with ${name} is refused with a sentence`, () => {
    assert.throws(() => readSnapshot(text), SnapshotError);
  });
}

test("arrow keys walk through earlier prompts and come back to what was being typed", () => {
  const saved = [];
  const history = new PromptHistory(["one"], (prompts) => saved.push(prompts));
  history.add("two");
  assert.deepEqual(saved, [["one", "two"]]);
  assert.equal(history.older("dra"), "two");
  assert.equal(history.older("two"), "one");
  assert.equal(history.older("one"), null);
  assert.equal(history.newer(), "two");
  assert.equal(history.newer(), "dra");
  assert.equal(history.newer(), null);
});

test("history keeps its limit and the same prompt only once in a row", () => {
  const history = new PromptHistory([], () => {}, 2);
  for (const prompt of ["a", "b", "b", "c"]) history.add(prompt);
  assert.deepEqual([history.older(""), history.older(""), history.older("")], ["c", "b", null]);
});

test("the buffer's curve ends at the right edge and fits its box", () => {
  const { line } = sparkPath([0, 4, 8, 16]);
  const points = line.slice(1).split("L").map((point) => point.split(" ").map(Number));
  assert.equal(points.at(-1)[0], 240);
  assert.ok(points.every(([x, y]) => x >= 0 && y >= 0 && y <= 40));
  assert.ok(points[0][1] > points[3][1]);
  assert.equal(sparkPath([1]).line, "");
});
