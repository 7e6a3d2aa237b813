"""Stores: owners, time to live, bounds, and what the documents promise."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.streaming.session_store import InMemoryBlobStore, InMemorySessionStore, StoreFull


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def state(text: str = "") -> ContinuationState:
    return ContinuationState(kind="ltx2.v1", payload={"metadata": {"text": text}})


def test_a_blob_comes_back_until_it_is_dropped() -> None:
    store = InMemoryBlobStore()
    blob_id = store.put(b"frames", mime="application/x-test")
    assert store.get(blob_id) == b"frames"
    assert blob_id in store
    assert len(store) == 1
    store.drop(blob_id)
    store.drop(blob_id)
    assert blob_id not in store
    assert store.total_bytes == 0
    with pytest.raises(KeyError):
        store.get(blob_id)


def test_a_blob_is_a_copy_that_later_writes_do_not_change() -> None:
    store, data = InMemoryBlobStore(), bytearray(b"one")
    blob_id = store.put(data)
    data[:] = b"two"
    assert store.get(blob_id) == b"one"


def test_blob_ids_are_long_and_never_repeat() -> None:
    store = InMemoryBlobStore()
    ids = {store.put(b"same") for _ in range(200)}
    assert len(ids) == 200
    assert min(map(len, ids)) >= 32


def test_a_blob_is_only_for_the_session_that_put_it() -> None:
    store = InMemoryBlobStore()
    mine, theirs = store.owned("mine"), store.owned("theirs")
    blob_id = mine.put(b"secret")
    assert mine.get(blob_id) == b"secret"
    for stranger in (theirs, store):
        with pytest.raises(KeyError):
            stranger.get(blob_id)
    assert blob_id not in theirs
    theirs.drop(blob_id)
    assert blob_id in mine
    with pytest.raises(PermissionError, match="expected owner 'theirs'"):
        theirs.get(blob_id, owner="mine")
    mine.drop(blob_id)
    assert blob_id not in store


def test_dropping_an_owner_drops_all_it_had_and_nothing_else() -> None:
    store = InMemoryBlobStore()
    gone, kept = store.owned("gone"), store.owned("kept")
    first, second, third = gone.put(b"1"), gone.put(b"2"), kept.put(b"3")
    gone.drop_owner("gone")
    assert first not in store
    assert second not in store
    assert kept.get(third) == b"3"


def test_blobs_expire() -> None:
    clock = Clock()
    store = InMemoryBlobStore(ttl_s=10, clock=clock)
    blob_id = store.put(b"x")
    clock.now_s += 9.9
    assert blob_id in store
    clock.now_s += 0.1
    assert blob_id not in store
    assert (len(store), store.total_bytes) == (0, 0)


@pytest.mark.parametrize("bounds", [{"max_entries": 2}, {"max_bytes": 20}])
def test_a_full_blob_store_removes_the_expired_and_then_refuses(bounds: dict[str, int]) -> None:
    clock = Clock()
    store = InMemoryBlobStore(ttl_s=10, clock=clock, **bounds)
    old = store.put(b"0123456789")
    clock.now_s += 5
    live = store.put(b"0123456789")
    with pytest.raises(StoreFull, match="expected at most"):
        store.put(b"0123456789")
    assert store.get(live) == b"0123456789"
    clock.now_s += 5
    store.put(b"0123456789")
    assert old not in store
    assert live in store


def test_a_state_is_replaced_and_dropped() -> None:
    store = InMemorySessionStore()
    assert store.snapshot("a") is None
    store.store("a", state("1"))
    store.store("a", state("2"))
    assert store.snapshot("a") == state("2")
    assert "a" in store
    assert len(store) == 1
    store.drop("a")
    store.drop("a")
    assert store.snapshot("a") is None
    assert "a" not in store


def test_hydrate_uses_the_given_id_and_otherwise_a_new_one() -> None:
    store = InMemorySessionStore()
    assert store.hydrate(state("x"), session_id="given") == "given"
    first, second = store.hydrate(state()), store.hydrate(state())
    assert first != second
    assert store.snapshot("given") == state("x")
    store.hydrate(state("y"), session_id="given")
    assert store.snapshot("given") == state("y")


def test_iterating_allows_changes_meanwhile() -> None:
    store = InMemorySessionStore()
    for name in "abc":
        store.store(name, state())
    for name in store:
        store.drop(name)
    assert list(store) == []


def test_a_session_that_goes_on_storing_does_not_expire() -> None:
    clock = Clock()
    store = InMemorySessionStore(ttl_s=10, clock=clock)
    store.store("idle", state())
    store.store("busy", state())
    clock.now_s += 6
    store.store("busy", state())
    clock.now_s += 6
    assert list(store) == ["busy"]


@pytest.mark.parametrize("bounds", [{"max_entries": 2}, {"max_bytes": 250}])
def test_a_full_session_store_refuses_new_sessions_and_serves_those_it_has(bounds: dict[str, int]) -> None:
    clock = Clock()
    store = InMemorySessionStore(ttl_s=10, clock=clock, **bounds)
    store.store("a", state("x" * 100))
    clock.now_s += 1
    store.store("b", state("x" * 100))
    with pytest.raises(StoreFull):
        store.store("c", state("x" * 100))
    store.store("b", state("y" * 100))
    assert store.snapshot("a") == state("x" * 100)
    clock.now_s += 9
    store.store("c", state("x" * 100))
    assert list(store) == ["b", "c"]


def _in_threads(work: Callable[[int], None], count: int = 8) -> None:
    threads = [threading.Thread(target=work, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_many_threads_leave_the_counts_right() -> None:
    blobs, sessions = InMemoryBlobStore(), InMemorySessionStore()
    faults: list[BaseException] = []

    def work(index: int) -> None:
        try:
            own = blobs.owned(str(index))
            for turn in range(100):
                blob_id = own.put(bytes([index]) * 10)
                sessions.store(f"{index}", state(str(turn)))
                assert own.get(blob_id) == bytes([index]) * 10
                if turn % 2:
                    own.drop(blob_id)
                list(sessions)
        except BaseException as error:
            faults.append(error)

    _in_threads(work)
    assert faults == []
    assert (len(blobs), blobs.total_bytes, len(sessions)) == (400, 4000, 8)


class BlobMachine(RuleBasedStateMachine):
    """The store against a plain model of it."""

    blobs: Bundle[str] = Bundle("blobs")

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.store = InMemoryBlobStore(ttl_s=10, max_entries=5, max_bytes=40, clock=self.clock)
        self.model: dict[str, tuple[bytes, str, float]] = {}

    def live(self) -> dict[str, tuple[bytes, str, float]]:
        return {key: value for key, value in self.model.items() if value[2] > self.clock.now_s}

    @rule(target=blobs, data=st.binary(max_size=12), owner=st.sampled_from("ab"))
    def put(self, data: bytes, owner: str) -> object:
        live = self.live()
        full = len(live) >= 5 or sum(len(value[0]) for value in live.values()) + len(data) > 40
        try:
            blob_id = self.store.put(data, owner=owner)
        except StoreFull:
            assert full
            return multiple()
        assert not full
        self.model[blob_id] = (data, owner, self.clock.now_s + 10)
        return blob_id

    @rule(blob_id=blobs, owner=st.sampled_from("ab"))
    def get(self, blob_id: str, owner: str) -> None:
        known = self.live().get(blob_id)
        if known is not None and known[1] == owner:
            assert self.store.get(blob_id, owner=owner) == known[0]
        else:
            with pytest.raises(KeyError):
                self.store.get(blob_id, owner=owner)

    @rule(blob_id=consumes(blobs))
    def drop(self, blob_id: str) -> None:
        self.store.drop(blob_id)
        self.model.pop(blob_id, None)

    @rule(owner=st.sampled_from("ab"))
    def drop_owner(self, owner: str) -> None:
        self.store.drop_owner(owner)
        self.model = {key: value for key, value in self.model.items() if value[1] != owner}

    @rule(seconds=st.integers(0, 6))
    def wait(self, seconds: int) -> None:
        self.clock.now_s += seconds

    @invariant()
    def counts_agree(self) -> None:
        live = self.live()
        assert len(self.store) == len(live)
        assert self.store.total_bytes == sum(len(value[0]) for value in live.values())


BlobMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestBlobMachine = BlobMachine.TestCase
