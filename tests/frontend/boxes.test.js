import assert from "node:assert/strict";
import { test } from "node:test";

import { decodeTimes, isInitSegment, playEarlier, readBoxes, sameBytes, trackTimescales } from "../../frontend/js/media/boxes.js";
import { box, fragment, initSegment, u32, u64 } from "./fakes.js";

test("boxes are found side by side, whatever view they come in", () => {
  const joined = Uint8Array.from([9, 9, ...box("ftyp", [1, 2]), ...box("moov")]).subarray(2);
  assert.deepEqual(
    readBoxes(joined).map(({ type, start, end, body }) => [type, start, end, body]),
    [
      ["ftyp", 0, 10, 8],
      ["moov", 10, 18, 18],
    ],
  );
});

test("a 64-bit size and a size to the end are understood", () => {
  const large = Uint8Array.from([...u32(1), 109, 100, 97, 116, ...u64(17), 7]);
  assert.deepEqual(readBoxes(large), [{ type: "mdat", start: 0, end: 17, body: 16 }]);
  const open = Uint8Array.from([...u32(0), 109, 100, 97, 116, 1, 2, 3]);
  assert.equal(readBoxes(open)[0].end, 11);
});

test("boxes that are cut off or lie about their size are refused", () => {
  const whole = box("moof", [1, 2, 3]);
  assert.throws(() => readBoxes(whole.subarray(0, 9)), RangeError);
  assert.throws(() => readBoxes(whole.subarray(0, 5)), RangeError);
  assert.throws(() => readBoxes(Uint8Array.from([...u32(4), 0, 0, 0, 0])), RangeError);
});

test("an init segment is told from a fragment", () => {
  assert.equal(isInitSegment(initSegment({ 1: 12288 })), true);
  assert.equal(isInitSegment(fragment({ 1: 0 })), false);
});

test("equal bytes are equal and others are not", () => {
  assert.equal(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2)), true);
  assert.equal(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3)), false);
  assert.equal(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1)), false);
});

test("each track's timescale is read", () => {
  assert.deepEqual([...trackTimescales(initSegment({ 1: 12288, 2: 48000 }))], [[1, 12288], [2, 48000]]);
});

test("decode times of several fragments are read in order, in both widths", () => {
  const two = Uint8Array.from([...fragment({ 1: 61952, 2: 242000 }), ...fragment({ 1: 5 }, 1, false)]);
  assert.deepEqual(
    decodeTimes(two).map(({ trackId, time, wide }) => [trackId, time, wide]),
    [
      [1, 61952n, true],
      [2, 242000n, true],
      [1, 5n, false],
    ],
  );
});

test("moving fragments changes their times and nothing else", () => {
  const original = Uint8Array.from([...fragment({ 1: 1000, 2: 4000 }), ...fragment({ 1: 1200 }, 3, false)]);
  const moved = playEarlier(original, new Map([[1, 1000n], [2, 3000n]]));
  assert.deepEqual(decodeTimes(moved).map(({ time }) => time), [0n, 1000n, 200n]);
  const back = playEarlier(moved, new Map([[1, -1000n], [2, -3000n]]));
  assert.deepEqual(back, original);
});

test("a fragment can't be moved before zero", () => {
  assert.throws(() => playEarlier(fragment({ 1: 5 }), new Map([[1, 6n]])), RangeError);
});
