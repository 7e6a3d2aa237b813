import assert from "node:assert/strict";
import { test } from "node:test";

import { AppendQueue } from "../../frontend/js/media/append_queue.js";
import { FakeSourceBuffer } from "./fakes.js";

const bytes = (length) => new Uint8Array(length);

function queueOn(buffer, { room = () => null } = {}) {
  const problems = [];
  const queue = new AppendQueue(buffer, { room, fail: (problem) => problems.push(problem) });
  return { queue, problems };
}

test("operations run one at a time and in order", () => {
  const buffer = new FakeSourceBuffer();
  const { queue } = queueOn(buffer);
  queue.push({ kind: "append", data: bytes(1) });
  queue.push({ kind: "append", data: bytes(2) });
  queue.push({ kind: "remove", start_s: 0, end_s: 5 });
  queue.push({ kind: "type", mime: "b" });
  queue.push({ kind: "append", data: bytes(3) });
  assert.deepEqual(buffer.done, ["append 1"]);
  assert.equal(queue.pending_bytes, 5);
  buffer.finish();
  buffer.finish();
  assert.deepEqual(buffer.done, ["append 1", "append 2", "remove 0-5"]);
  buffer.finish();
  assert.deepEqual(buffer.done.slice(3), ["type b", "append 3"]);
  assert.equal(queue.idle, false);
  buffer.finish();
  assert.equal(queue.idle, true);
});

test("a full buffer loses old media and the same append is tried again", () => {
  const buffer = new FakeSourceBuffer();
  buffer.room = 1;
  const { queue, problems } = queueOn(buffer, { room: () => ({ start_s: 0, end_s: 10 }) });
  queue.push({ kind: "append", data: bytes(1) });
  queue.push({ kind: "append", data: bytes(2) });
  buffer.finish();
  assert.deepEqual(buffer.done, ["append 1", "remove 0-10"]);
  buffer.finish();
  assert.deepEqual(buffer.done.at(-1), "append 2");
  assert.equal(queue.evictions, 1);
  assert.deepEqual(problems, []);
});

test("with nothing to remove the queue waits and goes on when asked to", () => {
  const buffer = new FakeSourceBuffer();
  buffer.room = 0;
  const { queue, problems } = queueOn(buffer);
  queue.push({ kind: "append", data: bytes(7) });
  queue.push({ kind: "append", data: bytes(8) });
  assert.deepEqual(buffer.done, []);
  assert.equal(queue.pending_bytes, 15);
  buffer.room = 2;
  queue.retry();
  buffer.finish();
  assert.deepEqual(buffer.done, ["append 7", "append 8"]);
  assert.deepEqual(problems, []);
});

test("a managed source that wants no data holds appends back but not removals", () => {
  const buffer = new FakeSourceBuffer();
  const { queue } = queueOn(buffer);
  queue.setOpen(false);
  queue.push({ kind: "remove", start_s: 0, end_s: 1 });
  queue.push({ kind: "append", data: bytes(1) });
  buffer.finish();
  assert.deepEqual(buffer.done, ["remove 0-1"]);
  queue.setOpen(true);
  assert.deepEqual(buffer.done.at(-1), "append 1");
});

test("the end is announced only after everything was appended", () => {
  const buffer = new FakeSourceBuffer();
  const { queue } = queueOn(buffer);
  let ended = false;
  queue.push({ kind: "append", data: bytes(1) });
  queue.push({ kind: "end", run: () => (ended = true) });
  assert.equal(ended, false);
  buffer.finish();
  assert.equal(ended, true);
});

test("a fragment that can't be read is reported once and nothing more is appended", () => {
  const buffer = new FakeSourceBuffer();
  const { queue, problems } = queueOn(buffer);
  queue.push({ kind: "append", data: bytes(1) });
  queue.push({ kind: "append", data: bytes(2) });
  buffer.fail();
  queue.push({ kind: "append", data: bytes(3) });
  assert.deepEqual(buffer.done, ["append 1"]);
  assert.equal(problems.length, 1);
});

test("an error that is not about memory is reported", () => {
  const buffer = new FakeSourceBuffer();
  const { queue, problems } = queueOn(buffer);
  buffer.appendBuffer = () => {
    throw new DOMException("gone", "InvalidStateError");
  };
  queue.push({ kind: "append", data: bytes(1) });
  assert.equal(problems[0].name, "InvalidStateError");
});
