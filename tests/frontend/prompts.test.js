import assert from "node:assert/strict";
import { test } from "node:test";

import * as prompts from "../../frontend/js/prompts.js";

const told = (list, id, status, reason) => prompts.told(list, { request_id: id, status, reason });
const asked = (...ids) => ids.reduce((list, id) => prompts.asked(list, { requestId: id, text: id, source: "user" }, 0), []);
const order = (list) => list.map(({ requestId }) => requestId).join(" ");

test("one prompt at a time waits at the server", () => {
  let list = asked("a", "b");
  assert.equal(prompts.toSend(list)?.requestId, "a");
  list = prompts.changed(list, "a", { state: "sending" });
  assert.equal(prompts.toSend(list), undefined);
  list = told(list, "a", "pending");
  assert.equal(prompts.toSend(list), undefined);
  assert.equal(prompts.toSend(told(list, "a", "applied"))?.requestId, "b");
  assert.equal(prompts.toSend(told(list, "a", "rejected", "x"))?.requestId, "b");
});

test("only prompts that were not sent can be changed and moved, among themselves", () => {
  const list = prompts.changed(asked("a", "b", "c", "d"), "a", { state: "pending" });
  assert.equal(order(prompts.moved(list, "d", 1)), "a d b c");
  assert.equal(order(prompts.moved(list, "d", 0)), "a d b c", "not before one that was sent");
  assert.equal(order(prompts.moved(list, "b", 9)), "a c d b");
  assert.equal(prompts.moved(list, "a", 2), list);
  assert.equal(prompts.edited(list, "b", "  other words ")[1].text, "other words");
  assert.equal(prompts.edited(list, "b", "   "), list);
  assert.equal(prompts.edited(list, "a", "too late"), list);
});

test("applied prompts are forgotten after some time, those that wait never", () => {
  let list = asked("first", ...Array.from({ length: 40 }, (_, index) => `p${index}`), "last");
  for (let index = 0; index < 40; index += 1) list = told(list, `p${index}`, "applied");
  assert.equal(list.filter(({ state }) => state === "applied").length, 12);
  assert.deepEqual(list.filter(prompts.isWaiting).map(({ requestId }) => requestId), ["first", "last"]);
});
