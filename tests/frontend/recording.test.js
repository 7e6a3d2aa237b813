import assert from "node:assert/strict";
import { test } from "node:test";

import { decodeTimes, readBoxes } from "../../frontend/js/media/boxes.js";
import { Recording } from "../../frontend/js/media/recording.js";
import { fragment, initSegment } from "./fakes.js";

const init = initSegment({ 1: 1000, 2: 48000 });
const bytesOf = async (blob) => new Uint8Array(await blob.arrayBuffer());
const typesOf = (bytes) => readBoxes(bytes).map(({ type }) => type);

test("a file is the first init segment and then every fragment", async () => {
  const recording = new Recording({ limit_bytes: 1e6 });
  for (const bytes of [init, fragment({ 1: 0 }), fragment({ 1: 250 }), init, fragment({ 1: 500 })]) recording.accept(bytes);
  const file = await bytesOf(await recording.file());
  assert.deepEqual(typesOf(file), ["ftyp", "moov", "moof", "mdat", "moof", "mdat", "moof", "mdat"]);
  assert.equal(file.byteLength, recording.bytes);
  assert.equal(recording.dropped, 0);
});

test("past the limit the oldest segments go and the rest starts at zero", async () => {
  const recording = new Recording({ limit_bytes: 3000 });
  for (let segment = 0; segment < 5; segment += 1) {
    recording.accept(init);
    recording.accept(fragment({ 1: segment * 1000, 2: segment * 48000 }, 1000));
  }
  assert.equal(recording.dropped, 3);
  assert.ok(recording.bytes <= 3000 + init.byteLength);
  const file = await bytesOf(await recording.file());
  const times = decodeTimes(file.subarray(init.byteLength));
  assert.deepEqual(times.map(({ time }) => time), [0n, 0n, 1000n, 48000n]);
});

test("sound that begins before the picture decides where zero is", async () => {
  const recording = new Recording({ limit_bytes: 1500 });
  recording.accept(init);
  recording.accept(fragment({ 1: 0, 2: 0 }, 1000));
  recording.accept(init);
  recording.accept(fragment({ 1: 1000, 2: 46080 }, 1000));
  const file = await bytesOf(await recording.file());
  assert.deepEqual(decodeTimes(file.subarray(init.byteLength)).map(({ time }) => time), [40n, 0n]);
});

test("another init segment begins another file", async () => {
  const recording = new Recording({ limit_bytes: 1e6 });
  const other = initSegment({ 1: 1000, 2: 48000 }, "iso6");
  for (const bytes of [init, fragment({ 1: 0 }), other, fragment({ 1: 1000 })]) recording.accept(bytes);
  const file = await bytesOf(await recording.file());
  assert.deepEqual(file.subarray(0, other.byteLength), other);
  assert.deepEqual(decodeTimes(file.subarray(other.byteLength)).map(({ time }) => time), [0n]);
  assert.equal(recording.dropped, 1);
});

test("a recording without fragments has no file", async () => {
  const recording = new Recording({ limit_bytes: 1e6 });
  recording.accept(init);
  assert.equal(recording.bytes, 0);
  await assert.rejects(recording.file(), RangeError);
  assert.throws(() => new Recording({ limit_bytes: 1 }).accept(fragment({ 1: 0 })), RangeError);
});
