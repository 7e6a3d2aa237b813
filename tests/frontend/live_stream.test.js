import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import * as shared from "../../frontend/js/fastvideo.js";

const { LiveStream } = shared;

/** A WebSocket whose other end is the test. */
class FakeSocket {
  static OPEN = 1;
  /** @type {FakeSocket[]} */
  static all = [];
  readyState = 0;
  /** @type {any[]} */
  sent = [];

  constructor(url, offered) {
    this.url = url;
    this.offered = offered;
    FakeSocket.all.push(this);
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.readyState = 3;
  }
  opens() {
    this.readyState = 1;
    this.onopen();
  }
  says(...messages) {
    for (const message of messages) this.onmessage({ data: JSON.stringify(message) });
  }
  gives(bytes) {
    this.onmessage({ data: bytes.buffer });
  }
  ends(code) {
    this.readyState = 3;
    this.onclose({ code });
  }
  /** What was said besides the heartbeat. */
  get words() {
    return this.sent.filter(({ type }) => type !== "ping" && type !== "playback_status");
  }
}

/** Notes what it is told, as a player is. */
class FakePlayer {
  /** @type {any[]} */
  told = [];
  expecting = false;
  stats = { state: "playing", position_s: 1.5, ahead_s: 2, stalls: 1 };
  open = (mime) => this.told.push(mime);
  append = (bytes) => this.told.push(bytes.byteLength);
  finish = () => this.told.push("finish");
  close = () => this.told.push("close");
  setExpecting = (on) => (this.expecting = on);
}

const INIT = new Uint8Array([0, 0, 0, 8, 0x66, 0x74, 0x79, 0x70]);
const HELLO = { type: "queue_status", position: 0, queue_depth: 0, session_id: "s" };
const START = { type: "ltx2_stream_start", width: 64, height: 64, fps: 24, num_frames: 24 };

/** @type {{path: string, options: any}[]} */
let asked = [];

/** @param {number} status @param {any} [body] */
function serverAnswers(status, body) {
  globalThis.fetch = async (path, options) => {
    asked.push({ path, options });
    return { status, ok: status < 400, json: async () => body };
  };
}

beforeEach(() => {
  asked = [];
  FakeSocket.all = [];
  globalThis.WebSocket = /** @type {any} */ (FakeSocket);
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
});
afterEach(() => mock.timers.reset());

/** @param {any} [options] @param {any} [where] */
function started(options, where = { server: "http://there:8000" }) {
  const player = new FakePlayer();
  const stream = new LiveStream(/** @type {any} */ (player), where);
  const id = stream.start("a fox", options);
  const socket = FakeSocket.all[0];
  return { player, stream, socket, id };
}

test("a stream begins with what was chosen, and prompts wait until it does", () => {
  const { stream, socket, id, player } = started({ loop: true, prompts: ["a", "b"], preset: "story" });
  assert.equal(socket.url, "ws://there:8000/v1/stream");
  socket.opens();
  socket.says(HELLO);
  assert.deepEqual(socket.words, [
    { type: "session_init_v2", auto_extension_enabled: true, curated_prompts: ["a", "b"], loop_generation_enabled: true, preset: "story" },
  ]);
  assert.equal(stream.session.phase, "queued");
  const second = stream.prompt("a cat", { seed: 7, steps: 2, negativePrompt: "fog" });
  socket.says(START);
  assert.equal(stream.session.phase, "active");
  assert.deepEqual(socket.words.at(-1), { type: "segment_prompt_source", prompt: "a fox", source: "user", request_id: id });
  assert.equal(player.expecting, true);
  socket.says({ type: "prompt_status", request_id: id, status: "applied" });
  const options = { seed: 7, num_inference_steps: 2, negative_prompt: "fog" };
  assert.deepEqual(socket.words.at(-1), { type: "segment_prompt_source", prompt: "a cat", source: "user", request_id: second, ...options });
});

test("media goes to the player and to whoever listens; a repeated init segment says nothing new", () => {
  const { stream, socket, player } = started();
  /** @type {number[]} */
  const heard = [];
  stream.addEventListener("media", (event) => heard.push(/** @type {CustomEvent} */ (event).detail.byteLength));
  socket.opens();
  const init = { type: "media_init", segment_idx: 0, stream_id: "t", mime: "video/mp4" };
  socket.says(HELLO, START, init);
  socket.gives(INIT);
  socket.says({ ...init, segment_idx: 1 });
  socket.gives(INIT.slice());
  assert.deepEqual(player.told, ["close", "video/mp4", 8, "video/mp4"]);
  assert.deepEqual(heard, [8, 8]);
  socket.says({ type: "ltx2_stream_complete", reason: "stop_requested" });
  assert.equal(player.told.at(-1), "finish");
  assert.equal(stream.session.ending?.kind, "stop_requested");
  assert.throws(() => stream.prompt("too late"), /call start first/);
});

test("the server hears where the viewer is", () => {
  const { socket } = started();
  socket.opens();
  socket.says(HELLO, START);
  mock.timers.tick(1000);
  const status = { type: "playback_status", position_ms: 1500, buffered_ms: 3500, stalls: 1 };
  assert.deepEqual(socket.sent.find(({ type }) => type === "playback_status"), status);
});

test("it is steered, paused, skipped and stopped", () => {
  const { stream, socket } = started();
  socket.opens();
  socket.says(HELLO, START);
  const before = socket.words.length;
  stream.steer({ keepGoing: false, prompts: ["c"] });
  stream.pause();
  stream.cancel();
  stream.stop();
  assert.deepEqual(
    socket.words.slice(before).map(({ type }) => type),
    ["auto_extension_updated", "seed_prompts_updated", "generation_paused_updated", "segment_cancel", "session_stop"],
  );
  assert.equal(stream.session.stopping, true);
});

test("a snapshot is a promise, kept or broken by the server", async () => {
  const { stream, socket } = started();
  await assert.rejects(stream.snapshot(), /goes on/);
  socket.opens();
  socket.says(HELLO, START);
  const first = stream.snapshot();
  socket.says({ type: "continuation_state_snapshot", state: { kind: "ltx2.v1", payload: {} } });
  assert.deepEqual(await first, { kind: "ltx2.v1", payload: {} });
  const second = stream.snapshot();
  socket.says({ type: "error", code: "internal_error", message: "There is no state yet." });
  await assert.rejects(second, /no state yet/);
  const third = stream.snapshot();
  stream.close();
  await assert.rejects(third, /over/);
  assert.equal(stream.session.phase, "idle");
});

test("a key becomes a token of the server that is meant, wherever the page came from", async () => {
  serverAnswers(200, { subprotocols: ["fastvideo.v1", "fastvideo.token.t"] });
  const player = new FakePlayer();
  new LiveStream(/** @type {any} */ (player), { server: "https://there/video", key: "fv_secret" }).start("a fox");
  await new Promise(setImmediate);
  assert.deepEqual(
    asked.map(({ path, options }) => [path, options.headers]),
    [["https://there/video/v1/stream/tokens", { authorization: "Bearer fv_secret" }]],
  );
  assert.equal(FakeSocket.all[0].url, "wss://there/video/v1/stream");
  assert.deepEqual(FakeSocket.all[0].offered, ["fastvideo.v1", "fastvideo.token.t"]);
});

test("a server that asks for a key is told apart from one that is not there", async () => {
  for (const [status, kind, events] of /** @type {[number, string, string[]][]} */ ([
    [401, "refused", ["refused", "close"]],
    [404, "unreachable", ["close"]],
  ])) {
    FakeSocket.all = [];
    serverAnswers(status);
    const { stream, socket } = started();
    /** @type {string[]} */
    const heard = [];
    for (const name of ["refused", "close"]) stream.addEventListener(name, () => heard.push(name));
    socket.ends(1006);
    await new Promise(setImmediate);
    assert.deepEqual(heard, events);
    assert.equal(stream.session.ending?.kind, kind);
  }
});

test("another start takes the place of the stream that is there", () => {
  const { stream, socket, player } = started();
  socket.opens();
  stream.start("");
  assert.equal(socket.readyState, 3);
  assert.equal(FakeSocket.all.length, 2);
  assert.deepEqual(player.told, ["close", "close"]);
  assert.deepEqual(stream.session.prompts, []);
});

test("what is shared has the names that the documents give", () => {
  const names = ["Connection", "Feed", "KeyRefused", "LiveStream", "Player", "Recording", "streamUrl", "tokenSubprotocols"];
  assert.deepEqual(Object.keys(shared), names);
});
