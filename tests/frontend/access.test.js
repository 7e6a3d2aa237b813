import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Access, KeyRefused } from "../../frontend/js/access.js";

/** A tab's storage; off: it throws, as some browsers' does. */
function storage({ off = false } = {}) {
  const kept = new Map();
  const check = () => {
    if (off) throw new DOMException("off", "SecurityError");
  };
  return {
    kept,
    getItem: (name) => (check(), kept.get(name) ?? null),
    setItem: (name, value) => (check(), void kept.set(name, value)),
    removeItem: (name) => (check(), void kept.delete(name)),
  };
}

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
});

test("without a key, and none asked for, sockets are opened at once and requests carry nothing", () => {
  const access = new Access(storage());
  assert.equal(access.subprotocols(), null);
  assert.deepEqual(access.headers, {});
  assert.equal(access.missing, false);
});

test("a key becomes a token for each socket, in a header and never in an address", async () => {
  serverAnswers(200, { subprotocols: ["fastvideo.v1", "fastvideo.token.t"] });
  const access = new Access(storage());
  access.required = true;
  access.use("fv_secret");
  assert.deepEqual(await access.subprotocols(), ["fastvideo.v1", "fastvideo.token.t"]);
  await access.subprotocols();
  assert.equal(asked.length, 2);
  for (const { path, options } of asked) {
    assert.equal(path, "v1/stream/tokens");
    assert.equal(options.method, "POST");
    assert.deepEqual(options.headers, { authorization: "Bearer fv_secret" });
  }
});

test("a key that is missing or opens nothing is refused, and a server that fails is not the key's fault", async () => {
  const access = new Access(storage());
  access.required = true;
  assert.equal(access.missing, true);
  await assert.rejects(() => /** @type {any} */ (access.subprotocols()), KeyRefused);
  access.use("fv_wrong");
  for (const status of [401, 403]) {
    serverAnswers(status);
    await assert.rejects(() => /** @type {any} */ (access.subprotocols()), KeyRefused);
  }
  serverAnswers(503);
  await assert.rejects(() => /** @type {any} */ (access.subprotocols()), (problem) => !(problem instanceof KeyRefused));
  serverAnswers(404);
  assert.deepEqual(await access.subprotocols(), []);
});

test("a key lasts as long as its tab, and without storage as long as the page", () => {
  const tab = storage();
  new Access(tab).use("fv_secret");
  const reloaded = new Access(tab);
  assert.deepEqual(reloaded.headers, { authorization: "Bearer fv_secret" });
  reloaded.use(null);
  assert.equal(tab.kept.size, 0);
  const off = new Access(storage({ off: true }));
  off.use("fv_secret");
  assert.deepEqual(off.headers, { authorization: "Bearer fv_secret" });
});
