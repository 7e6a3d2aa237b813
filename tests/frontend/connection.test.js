import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { KeyRefused } from "../../frontend/js/access.js";
import { Connection } from "../../frontend/js/connection.js";

/** A WebSocket whose other end is the test. */
class FakeSocket {
  static OPEN = 1;
  /** @type {FakeSocket[]} */
  static all = [];
  readyState = 0;
  /** @type {any[]} */
  sent = [];
  closed = false;

  constructor(url, offered) {
    this.url = url;
    this.offered = offered;
    FakeSocket.all.push(this);
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.closed = true;
  }
  opens() {
    this.readyState = 1;
    this.onopen();
  }
  says(message) {
    this.onmessage({ data: JSON.stringify(message) });
  }
  gives(bytes) {
    this.onmessage({ data: bytes.buffer });
  }
  ends(code) {
    this.readyState = 3;
    this.onclose({ code });
  }
}

const INIT = new Uint8Array([0, 0, 0, 8, 0x66, 0x74, 0x79, 0x70]);

/** A moof with nothing but its number, and an empty mdat. */
function fragment(sequence) {
  const bytes = new Uint8Array(32);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 24);
  bytes.set([0x6d, 0x6f, 0x6f, 0x66], 4);
  view.setUint32(8, 16);
  bytes.set([0x6d, 0x66, 0x68, 0x64], 12);
  view.setUint32(20, sequence);
  view.setUint32(24, 8);
  bytes.set([0x6d, 0x64, 0x61, 0x74], 28);
  return bytes;
}

const HELLO = { type: "queue_status", position: 0, queue_depth: 0, session_id: "s", resume_token: "s.secret", resume_grace_seconds: 30 };

function connected() {
  /** @type {any[]} */
  const heard = [];
  const connection = new Connection("ws://host/v1/stream", {
    open: () => heard.push("open"),
    message: (message) => heard.push(message.type),
    media: (bytes) => heard.push(bytes.byteLength),
    reconnecting: (on) => heard.push(on ? "broke" : "back"),
    close: ({ code }) => heard.push(`closed ${code}`),
  });
  FakeSocket.all[0].opens();
  FakeSocket.all[0].says(HELLO);
  return { connection, heard, socket: FakeSocket.all[0] };
}

/** The socket that takes the place of the newest one. */
function next() {
  mock.timers.tick(3000);
  return /** @type {FakeSocket} */ (FakeSocket.all.at(-1));
}

beforeEach(() => {
  FakeSocket.all = [];
  globalThis.WebSocket = /** @type {any} */ (FakeSocket);
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
});

test("a socket that breaks is replaced, and the stream goes on where it was", () => {
  const { heard, socket } = connected();
  socket.gives(INIT);
  socket.gives(fragment(7));
  socket.says({ type: "media_segment_complete", segment_idx: 0, stream_id: "x", chunks: 1 });
  socket.ends(1006);
  const second = next();
  second.opens();
  assert.deepEqual(second.sent, [{ type: "session_resume", resume_token: "s.secret", last_sequence: 7, frames_after: 1 }]);
  second.says(HELLO);
  second.gives(fragment(8));
  assert.deepEqual(heard, ["open", "queue_status", 8, 32, "media_segment_complete", "broke", "back", 32]);
  second.ends(1006);
  const third = next();
  third.opens();
  // The answer to coming back does not count.
  assert.deepEqual(third.sent[0], { type: "session_resume", resume_token: "s.secret", last_sequence: 8, frames_after: 0 });
});

test("before anything arrived the place is the number of messages", () => {
  const { socket } = connected();
  socket.says({ type: "gpu_assigned", gpu_id: 0, session_timeout: 300 });
  socket.ends(1006);
  const second = next();
  second.opens();
  assert.equal(second.sent[0].last_sequence, 0);
  assert.equal(second.sent[0].frames_after, 2);
});

test("what was said meanwhile, and prompts that no segment uses yet, are said again", () => {
  const { connection, socket } = connected();
  const prompt = (id) => ({ type: "segment_prompt_source", prompt: id, request_id: id });
  for (const id of ["used", "refused", "pending", "unheard"]) connection.send(prompt(id));
  socket.says({ type: "prompt_status", request_id: "used", status: "applied" });
  socket.says({ type: "prompt_status", request_id: "refused", status: "rejected" });
  socket.says({ type: "prompt_status", request_id: "pending", status: "pending" });
  socket.ends(1006);
  connection.send(prompt("later"));
  connection.send({ type: "generation_paused_updated", paused: true });
  connection.send({ type: "ping", id: 1 });
  const second = next();
  second.opens();
  second.says(HELLO);
  const again = [prompt("pending"), prompt("unheard"), prompt("later")];
  assert.deepEqual(second.sent.slice(1), [...again, { type: "generation_paused_updated", paused: true }]);
});

test("a proper close is the end, and so is a loss before the server told how to come back", () => {
  const { heard, socket } = connected();
  socket.ends(1000);
  assert.equal(heard.at(-1), "closed 1000");
  assert.equal(FakeSocket.all.length, 1);

  FakeSocket.all = [];
  const other = connected();
  FakeSocket.all = [];
  const fresh = new Connection("ws://host", { open() {}, message() {}, media() {}, reconnecting() {}, close: ({ opened }) => other.heard.push(opened) });
  FakeSocket.all[0].ends(1006);
  assert.equal(other.heard.at(-1), false);
  fresh.abandon();
});

test("a server that refuses is heard, and its close is the end", () => {
  const { heard, socket } = connected();
  socket.ends(1006);
  const second = next();
  second.opens();
  second.says({ type: "error", code: "session_rejected", message: "", reason: "resume_expired" });
  second.ends(1003);
  assert.deepEqual(heard.slice(2), ["broke", "error", "closed 1003"]);
});

for (const code of [1001, 1011, 1012, 1013]) {
  test(`a page that is sent away with ${code} goes on where it was`, () => {
    const { heard, socket } = connected();
    socket.says({ type: "ltx2_stream_start", width: 64, height: 64, fps: 24, num_frames: 9 });
    socket.gives(fragment(3));
    socket.says({ type: "error", code: "gpu_unavailable", message: "bye", retryable: true, reason: "draining" });
    socket.ends(code);
    const second = next();
    second.opens();
    assert.deepEqual(second.sent, [{ type: "session_resume", resume_token: "s.secret", last_sequence: 3, frames_after: 1 }]);
    second.says({ type: "error", code: "gpu_unavailable", message: "later", retryable: true, retry_after: 20 });
    second.ends(1013);
    // As late as it was asked to.
    mock.timers.tick(19_999);
    assert.equal(FakeSocket.all.length, 2);
    const third = next();
    third.opens();
    third.says(HELLO);
    third.gives(fragment(4));
    assert.deepEqual(heard, ["open", "queue_status", "ltx2_stream_start", 32, "error", "broke", "back", 32]);
  });
}

test("a session that never was active, is over, or was refused for good is not asked for again", () => {
  const start = { type: "ltx2_stream_start", width: 64, height: 64, fps: 24, num_frames: 9 };
  const no = { type: "error", code: "session_rejected", message: "no" };
  const over = { type: "ltx2_stream_complete", reason: "error" };
  for (const said of [[], [start, no], [start, over], [start, { ...no, retryable: true, retry_after: 3600 }]]) {
    FakeSocket.all = [];
    const { heard, socket } = connected();
    for (const message of said) socket.says(message);
    socket.ends(1013);
    assert.equal(heard.at(-1), "closed 1013");
    mock.timers.tick(60_000);
    assert.equal(FakeSocket.all.length, 1);
  }
});

test("a session that nobody knows any more ends with what was said before the close", () => {
  const { heard, socket } = connected();
  socket.says({ type: "ltx2_stream_start", width: 64, height: 64, fps: 24, num_frames: 9 });
  socket.says({ type: "error", code: "gpu_unavailable", message: "bye", retryable: true, reason: "draining" });
  socket.ends(1001);
  const second = next();
  second.opens();
  second.says({ type: "error", code: "session_rejected", message: "?", reason: "resume_unknown" });
  second.ends(1003);
  assert.deepEqual(heard.slice(3), ["error", "broke", "closed 1003"]);
});

test("a session that is lost at once, again and again, gets no more time than one", (context) => {
  let now = 1000;
  context.mock.method(performance, "now", () => now);
  const { heard, socket } = connected();
  let newest = socket;
  newest.ends(1006);
  for (let losses = 0; !String(heard.at(-1)).startsWith("closed"); losses += 1) {
    assert.ok(losses < 30);
    now += 3000;
    newest = next();
    newest.opens();
    newest.says(HELLO);
    newest.ends(1006);
  }
  assert.ok(now <= 31_000);
});

test("attempts go on while the server would wait, and no longer", (context) => {
  let now = 1000;
  context.mock.method(performance, "now", () => now);
  const { heard, socket } = connected();
  socket.ends(1006);
  let attempts = 0;
  while (!String(heard.at(-1)).startsWith("closed")) {
    attempts += 1;
    now += 3000;
    next().ends(1006);
    assert.ok(attempts < 20);
  }
  assert.equal(heard.at(-1), "closed 1006");
  assert.ok(now - 1000 >= 27_000 && now - 1000 <= 30_000);
});

test("leaving ends the attempts", () => {
  const { connection, heard, socket } = connected();
  socket.ends(1006);
  connection.abandon();
  mock.timers.tick(60_000);
  assert.equal(FakeSocket.all.length, 1);
  assert.deepEqual(heard, ["open", "queue_status", "broke"]);
});

test("a socket that needs a token is opened with one, and so is the one that takes its place", async () => {
  let number = 0;
  const heard = [];
  const events = { open: () => heard.push("open"), message: () => {}, media: () => {}, reconnecting: () => {}, refused: () => {}, close: () => {} };
  new Connection("ws://host/v1/stream", events, async () => ["fastvideo.v1", `fastvideo.token.${(number += 1)}`]);
  assert.equal(FakeSocket.all.length, 0);
  await Promise.resolve();
  await Promise.resolve();
  FakeSocket.all[0].opens();
  FakeSocket.all[0].says(HELLO);
  FakeSocket.all[0].ends(1006);
  mock.timers.tick(3000);
  await Promise.resolve();
  await Promise.resolve();
  assert.deepEqual(FakeSocket.all.map((socket) => socket.offered[1]), ["fastvideo.token.1", "fastvideo.token.2"]);
  FakeSocket.all[1].opens();
  assert.equal(FakeSocket.all[1].sent[0].type, "session_resume");
  assert.deepEqual(heard, ["open"]);
});

test("a key that is refused ends it without a socket, and one that left meanwhile gets none", async () => {
  const heard = [];
  const events = {
    open: () => {},
    message: () => {},
    media: () => {},
    reconnecting: () => {},
    refused: () => heard.push("refused"),
    close: ({ code, opened }) => heard.push(`closed ${code} ${opened}`),
  };
  new Connection("ws://host/v1/stream", events, () => Promise.reject(new KeyRefused("no")));
  const left = new Connection("ws://host/v1/stream", events, async () => []);
  left.abandon();
  await new Promise((done) => setImmediate(done));
  assert.deepEqual(heard, ["refused", "closed 1008 false"]);
  assert.equal(FakeSocket.all.length, 0);
});
