import assert from "node:assert/strict";
import { test } from "node:test";

import { ahead, evictable, extent, nextStart } from "../../frontend/js/media/ranges.js";
import { ranges } from "./fakes.js";

test("what is ahead ends at the first hole that a browser does not bridge", () => {
  assert.equal(ahead(ranges([0, 5], [5.01, 9], [9.5, 20]), 2), 7);
});

test("nothing is ahead of a position outside all ranges", () => {
  assert.equal(ahead(ranges([0, 5]), 6), 0);
  assert.equal(ahead(ranges(), 0), 0);
});

test("a position just before a range counts as inside it", () => {
  assert.ok(Math.abs(ahead(ranges([0.01, 3]), 0) - 3) < 1e-9);
});

test("the next start is the first range behind the hole", () => {
  assert.equal(nextStart(ranges([0, 5], [5.5, 9], [12, 13]), 4.99), 5.5);
  assert.equal(nextStart(ranges([0, 5]), 2), null);
});

test("old media is removed only when there is a second of it or more", () => {
  assert.deepEqual(evictable(ranges([0, 100]), 90, 60), { start_s: 0, end_s: 30 });
  assert.equal(evictable(ranges([29.5, 100]), 90, 60), null);
  assert.equal(evictable(ranges(), 90, 60), null);
});

test("the extent reaches from the first to the last buffered moment", () => {
  assert.deepEqual(extent(ranges([1, 2], [4, 8])), { start_s: 1, end_s: 8 });
  assert.equal(extent(ranges()), null);
});
