import assert from "node:assert/strict";
import { test } from "node:test";

import { PlaybackWatch } from "../../frontend/js/media/watch.js";

const calm = { now_ms: 0, position_s: 0, ahead_s: 0, next_s: null, wanted: true, expecting: true, final: false, waiting: false, seeking: false, ready: true };

function watching() {
  const watch = new PlaybackWatch();
  const see = (look) => watch.observe({ ...calm, ...look });
  return { watch, see };
}

function playing() {
  const both = watching();
  both.see({ ahead_s: 1 });
  return both;
}

test("playback starts when half a second is there", () => {
  const { watch, see } = watching();
  assert.deepEqual(see({ ahead_s: 0.4 }), { act: "none" });
  assert.equal(watch.state, "starting");
  assert.deepEqual(see({ ahead_s: 0.5 }), { act: "play" });
  assert.equal(watch.state, "playing");
});

test("a clip shorter than the start buffer plays once nothing more is expected", () => {
  const { see } = watching();
  assert.deepEqual(see({ ahead_s: 0.3, expecting: false }), { act: "play" });
});

test("a timeline that begins late is jumped to", () => {
  const { see } = watching();
  assert.deepEqual(see({ next_s: 12 }), { act: "jump", to_s: 12 });
});

test("running dry while media was asked for is a stall, which lasts until enough is there", () => {
  const { watch, see } = playing();
  assert.deepEqual(see({ now_ms: 1000, position_s: 1, ahead_s: 0.01, waiting: true }), { act: "hold" });
  assert.equal(watch.state, "stalled");
  assert.deepEqual(see({ now_ms: 1200, position_s: 1, ahead_s: 0.3 }), { act: "none" });
  assert.deepEqual(see({ now_ms: 1500, position_s: 1, ahead_s: 0.6 }), { act: "play" });
  assert.deepEqual(watch.counts, { stalls: 1, stalled_ms: 500, idles: 0, jumps: 0 });
});

test("running dry when nothing was asked for is idle, also with a little picture left without sound", () => {
  const { watch, see } = playing();
  assert.deepEqual(see({ now_ms: 1000, position_s: 4.98, ahead_s: 0.06, waiting: true, expecting: false }), { act: "hold" });
  assert.equal(watch.state, "idle");
  assert.deepEqual(see({ now_ms: 2000, position_s: 4.98, ahead_s: 0.06, expecting: false }), { act: "none" });
  assert.deepEqual(watch.counts, { stalls: 0, stalled_ms: 0, idles: 1, jumps: 0 });
});

test("playback is held before it runs dry, because a browser that ran dry is slow to go on", () => {
  const { watch, see } = playing();
  assert.deepEqual(see({ now_ms: 1000, position_s: 4.8, ahead_s: 0.15 }), { act: "none" });
  assert.deepEqual(see({ now_ms: 1050, position_s: 4.85, ahead_s: 0.1 }), { act: "hold" });
  assert.equal(watch.state, "stalled");
  const other = playing();
  assert.deepEqual(other.see({ now_ms: 1050, position_s: 4.85, ahead_s: 0.1, expecting: false }), { act: "hold" });
  assert.equal(other.watch.state, "idle");
  assert.deepEqual(other.see({ now_ms: 1300, position_s: 4.85, ahead_s: 0.1, expecting: false }), { act: "none" });
});

test("the end of a stream is played to its last picture", () => {
  const { watch, see } = playing();
  assert.deepEqual(see({ now_ms: 1000, position_s: 4.95, ahead_s: 0.05, final: true, expecting: false }), { act: "none" });
  assert.equal(watch.state, "playing");
  const held = playing();
  held.see({ now_ms: 1000, position_s: 4.9, ahead_s: 0.1, expecting: false });
  assert.deepEqual(held.see({ now_ms: 1500, position_s: 4.9, ahead_s: 0.16, final: true, expecting: false }), { act: "play" });
});

test("before a hole playback goes on to its edge, also when it was held there", () => {
  const { see } = playing();
  assert.deepEqual(see({ now_ms: 1000, position_s: 2.95, ahead_s: 0.05, next_s: 3.2 }), { act: "none" });
  const held = playing();
  assert.deepEqual(held.see({ now_ms: 1000, position_s: 2.9, ahead_s: 0.1 }), { act: "hold" });
  assert.deepEqual(held.see({ now_ms: 1200, position_s: 2.9, ahead_s: 0.1, next_s: 3.2 }), { act: "play" });
  assert.deepEqual(held.see({ now_ms: 1400, position_s: 3, ahead_s: 0, next_s: 3.2, waiting: true }), { act: "jump", to_s: 3.2 });
});

test("a browser that says it lacks what is there is made to look once more, where it stands, and once only", () => {
  const { watch, see } = playing();
  const unready = { position_s: 6, ahead_s: 0.8, ready: false };
  see({ now_ms: 1000, ...unready });
  assert.deepEqual(see({ now_ms: 1250, ...unready }), { act: "none" });
  assert.deepEqual(see({ now_ms: 1301, ...unready }), { act: "jump", to_s: 6 });
  assert.deepEqual(see({ now_ms: 1700, ...unready }), { act: "none" });
  assert.equal(watch.counts.jumps, 0);
  see({ now_ms: 1800, position_s: 6.1, ahead_s: 0.7 });
  see({ now_ms: 1900, position_s: 6.2, ahead_s: 0.6, ready: false });
  assert.deepEqual(see({ now_ms: 2250, position_s: 6.2, ahead_s: 0.9, ready: false }), { act: "jump", to_s: 6.2 });
});

test("a browser that wants more than is left makes a stall of it while more comes, and plays the rest when nothing does", () => {
  const unready = { position_s: 6, ahead_s: 0.3, ready: false };
  const { watch, see } = playing();
  see({ now_ms: 1000, ...unready });
  assert.deepEqual(see({ now_ms: 1301, ...unready }), { act: "hold" });
  assert.deepEqual([watch.state, watch.counts.stalls], ["stalled", 1]);
  const hole = playing();
  hole.see({ now_ms: 1000, ...unready, next_s: 7 });
  assert.deepEqual(hole.see({ now_ms: 1301, ...unready, next_s: 7 }), { act: "jump", to_s: 7 });
  const last = playing();
  last.see({ now_ms: 1000, ...unready, expecting: false });
  assert.deepEqual(last.see({ now_ms: 1301, ...unready, expecting: false }), { act: "jump", to_s: 6 });
  assert.deepEqual(last.see({ now_ms: 2000, ...unready, expecting: false }), { act: "none" });
  assert.deepEqual(last.see({ now_ms: 4001, ...unready, expecting: false }), { act: "jump", to_s: 6.05 });
});

test("idle stays idle when the next segment is asked for, and plays when it is there", () => {
  const { watch, see } = playing();
  see({ position_s: 5, ahead_s: 0, waiting: true, expecting: false });
  see({ position_s: 5, ahead_s: 0, expecting: true });
  assert.equal(watch.state, "idle");
  assert.deepEqual(see({ position_s: 5, ahead_s: 0.5, expecting: true }), { act: "play" });
  assert.equal(watch.counts.stalls, 0);
});

test("a stall that nobody waits for any more turns idle", () => {
  const { watch, see } = playing();
  see({ now_ms: 0, position_s: 5, waiting: true });
  see({ now_ms: 100, position_s: 5, expecting: false });
  assert.equal(watch.state, "idle");
  see({ now_ms: 900, position_s: 5, expecting: false });
  assert.equal(watch.counts.stalled_ms, 100);
});

test("a drained player is noticed without a waiting event", () => {
  const { watch, see } = playing();
  see({ now_ms: 1000, position_s: 2, ahead_s: 0.01, final: true });
  assert.equal(watch.state, "playing");
  assert.deepEqual(see({ now_ms: 1301, position_s: 2, ahead_s: 0.01, final: true }), { act: "hold" });
});

test("a hole with media behind it is jumped over, and is no stall", () => {
  const { watch, see } = playing();
  assert.deepEqual(see({ position_s: 3, ahead_s: 0.02, next_s: 3.2, waiting: true }), { act: "jump", to_s: 3.2 });
  assert.deepEqual(watch.counts, { stalls: 0, stalled_ms: 0, idles: 0, jumps: 1 });
});

test("a player that stands still with media in front of it is pushed after three seconds", () => {
  const { see } = playing();
  see({ now_ms: 0, position_s: 2, ahead_s: 4 });
  assert.deepEqual(see({ now_ms: 2900, position_s: 2, ahead_s: 4 }), { act: "none" });
  assert.deepEqual(see({ now_ms: 3001, position_s: 2, ahead_s: 4 }), { act: "jump", to_s: 2.05 });
  assert.deepEqual(see({ now_ms: 3251, position_s: 2.05, ahead_s: 3.95 }), { act: "none" });
});

test("a viewer's pause is neither a stall nor idle, and playback goes on from it", () => {
  const { watch, see } = playing();
  see({ now_ms: 1000, wanted: false, ahead_s: 0, waiting: true });
  assert.equal(watch.state, "paused");
  assert.deepEqual(see({ now_ms: 9000, ahead_s: 3 }), { act: "play" });
  assert.deepEqual(watch.counts, { stalls: 0, stalled_ms: 0, idles: 0, jumps: 0 });
});

test("nothing is decided while the player seeks", () => {
  const { see } = playing();
  assert.deepEqual(see({ seeking: true, waiting: true }), { act: "none" });
});
