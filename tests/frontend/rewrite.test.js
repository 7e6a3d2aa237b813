import assert from "node:assert/strict";
import { test } from "node:test";

import * as rewrites from "../../frontend/js/rewrite.js";

const answered = (targets, ...alternatives) => rewrites.rewriteAnswered(rewrites.rewriteAsked(targets), { alternatives });
const targets = ({ alternatives }) => alternatives.map(({ target }) => target);

test("a new story for several scenes, several ways to tell one, new scenes where there are none", () => {
  assert.equal(rewrites.wanted(["s1", "s2", "s4"]), 3);
  assert.deepEqual(targets(answered(["s1", "s2", "s4"], "a", "b", "c")), ["s1", "s2", "s4"]);
  assert.deepEqual(targets(answered(["s1", "s2"], "a", "b", "c")), ["s1", "s2", null]);
  assert.equal(rewrites.wanted(["s1"]), 3);
  assert.deepEqual(targets(answered(["s1"], "a", "b", "c")), ["s1", "s1", "s1"]);
  assert.deepEqual(targets(answered([], "a", "b")), [null, null]);
});

test("what was accepted or discarded is gone, and with the last one the rewrite is over", () => {
  let rewrite = rewrites.alternativeGone(answered(["s1", "s2"], "a", "b"), 0);
  assert.deepEqual(rewrite.alternatives.map(({ text }) => text), ["b"]);
  rewrite = rewrites.alternativeGone(rewrite, 1);
  assert.deepEqual(rewrite, rewrites.noRewrite());
});

test("a rewrite without an answer says why, and one that was not asked for is ignored", () => {
  const failed = rewrites.rewriteAnswered(rewrites.rewriteAsked(["s1"]), { alternatives: [], reason: "timeout" });
  assert.deepEqual([failed.phase, failed.reason], ["failed", "timeout"]);
  assert.equal(rewrites.rewriteAnswered(failed, { alternatives: ["late"] }), failed);
  assert.equal(rewrites.rewriteRefused(failed), failed);
  assert.equal(rewrites.rewriteRefused(rewrites.rewriteAsked([])).phase, "idle");
});
