from __future__ import annotations

import pytest

from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.streaming.leased_store import LeasedStore
from fastvideo.entrypoints.streaming.left_behind import LeftBehind
from fastvideo.entrypoints.streaming.session_lease import LeaseHeld, LeaseLost
from fastvideo.entrypoints.streaming.session_store import InMemorySessionStore

STATE = ContinuationState("ltx2.v1", {"segment_index": 0})
OTHER = ContinuationState("ltx2.v1", {"segment_index": 1})


def test_the_newest_writer_of_a_session_is_its_only_one() -> None:
    store = InMemorySessionStore()
    here, there = LeasedStore(store, "here"), LeasedStore(store, "there")
    here.store("a", STATE)
    there.store("a", OTHER)
    for write in (lambda: here.store("a", STATE), lambda: here.drop("a")):
        with pytest.raises(LeaseLost):
            write()
    assert here.snapshot("a") == OTHER
    with pytest.raises(LeaseHeld):
        store.store("a", STATE)
    there.drop("a")
    assert "a" not in here


def test_what_was_never_written_here_is_not_dropped() -> None:
    store = InMemorySessionStore()
    store.store("a", STATE)
    LeasedStore(store, "here").drop("a")
    assert list(store) == ["a"]


def test_a_session_that_was_let_go_can_be_written_by_anybody() -> None:
    store = InMemorySessionStore()
    here = LeasedStore(store, "here")
    here.store("a", STATE)
    here.let_go()
    store.store("a", OTHER)
    assert store.snapshot("a") == OTHER


def test_the_oldest_of_too_many_that_were_left_behind_is_forgotten() -> None:
    forgotten: list[str] = []
    left = LeftBehind(max_sessions=2)
    for name in ("a", "b", "c", "d"):
        left.add(name, lambda name=name: forgotten.append(name))
    left.take("b")
    left.tidy()
    assert forgotten == ["a"]
    assert left.forget_oldest()
    assert left.forget_oldest()
    assert not left.forget_oldest()
    assert forgotten == ["a", "c", "d"]
