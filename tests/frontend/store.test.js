import assert from "node:assert/strict";
import { test } from "node:test";

import { Store } from "../../frontend/js/store.js";

function storeOf(initial) {
  const turns = [];
  const store = new Store(initial, (run) => turns.push(run));
  return { store, deliver: () => turns.splice(0).forEach((run) => run()) };
}

test("a watcher is called at once and then only when its part changes", () => {
  const { store, deliver } = storeOf({ a: 1, b: 1 });
  const seen = [];
  store.watch((state) => state.a, (a) => seen.push(a));
  store.update((state) => ({ ...state, b: 2 }));
  deliver();
  store.update((state) => ({ ...state, a: 5 }));
  deliver();
  assert.deepEqual(seen, [1, 5]);
});

test("several changes in one turn are delivered together", () => {
  const { store, deliver } = storeOf({ a: 0 });
  const seen = [];
  store.watch((state) => state.a, (a) => seen.push(a));
  for (let i = 1; i <= 5; i += 1) store.update((state) => ({ a: state.a + 1 }));
  deliver();
  assert.deepEqual(seen, [0, 5]);
  assert.equal(store.state.a, 5);
});

test("a watcher that stopped hears nothing more", () => {
  const { store, deliver } = storeOf({ a: 0 });
  const seen = [];
  const stop = store.watch((state) => state.a, (a) => seen.push(a));
  stop();
  store.update(() => ({ a: 1 }));
  deliver();
  assert.deepEqual(seen, [0]);
});

test("a change that returns the same state is no change", () => {
  const { store } = storeOf({ a: 0 });
  const before = store.state;
  store.update((state) => state);
  assert.equal(store.state, before);
});
