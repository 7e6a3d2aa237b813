"""What goes from server to server comes back as it was, or is refused whole."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.api.errors import StateInvalid
from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.streaming.director import Director, DirectorRules, Prompt, Start
from fastvideo.entrypoints.streaming.protocol import SessionInitV2
from fastvideo.entrypoints.streaming.session_record import (
    SessionRecord,
    decode_record,
    encode_record,
    load_record,
    record_id,
)
from fastvideo.entrypoints.streaming.session_store import InMemorySessionStore
from fastvideo.media.timeline import MediaCursor

RULES = DirectorRules(segment_cap=6)


def director() -> Director:
    made = Director(RULES, curated_prompts=["one", "two"], loop=True)
    made.submit(Prompt("mine", seed=7, request_id="r1"))
    made.submit(Prompt("later"))
    made.decide(0.0)
    made.reworded("mine, in better words")
    return made


def record() -> SessionRecord:
    opening = SessionInitV2.model_validate(
        {
            "client_id": "me",
            "initial_image": {"mime": "image/png"},
            "curated_prompts": ["one", "two"],
            "own": {"key": 1},
        }
    )
    return SessionRecord(
        token_digest=b"\x01" * 32,
        stream_id="stream",
        segment_idx=3,
        cursor=MediaCursor(sequence=12, video_ticks=96, video_timescale=24, audio_samples=191_488, tail=b"\0" * 8),
        opening=opening,
        enhancement_enabled=True,
        director=director().record(),
        state=ContinuationState("ltx2.v1", {"segment_index": 2, "video": {"blob_id": "x", "frame_count": 9}}),
    )


def test_a_record_comes_back_as_it_was_without_the_image() -> None:
    before = record()
    through_json = ContinuationState(**json.loads(json.dumps(vars(encode_record(before)))))
    after = decode_record(through_json)
    assert after.opening.initial_image is None
    assert after.opening.model_fields_set == {"type", "client_id", "curated_prompts", "own"}
    assert replace(after, opening=before.opening) == before


@pytest.mark.parametrize(
    "change",
    [
        {"token_digest": "no hex"},
        {"segment_idx": "3"},
        {"cursor": {}},
        {"director": {}},
        {"opening": {"type": "ping"}},
        {"more": 1},
    ],
)
def test_another_version_is_refused_and_counts_as_none(change: dict[str, Any]) -> None:
    state = encode_record(record())
    broken = ContinuationState(state.kind, {**state.payload, **change})
    with pytest.raises(StateInvalid):
        decode_record(broken)
    store = InMemorySessionStore()
    store.store(record_id("s"), broken)
    assert load_record(store, "s") is None
    assert load_record(store, "nobody") is None


def test_a_session_without_a_record_of_its_own_kind_has_none() -> None:
    with pytest.raises(StateInvalid, match="expected the kind"):
        decode_record(ContinuationState("ltx2.v1", {}))


def test_another_director_begins_with_the_segment_that_was_running_in_its_words() -> None:
    there = Director(RULES, curated_prompts=["one", "two"], loop=True)
    there.restore(director().record())
    start = there.decide(0.0)
    assert start == Start(Prompt("mine, in better words", seed=7, request_id="r1"), continues=True, again=True)
    there.completed()
    assert there.decide(0.0) == Start(Prompt("later"), continues=True)


def test_a_running_segment_is_made_though_the_client_paused_meanwhile() -> None:
    here = director()
    here.set_paused(True)
    there = Director(RULES)
    there.restore(here.record())
    assert isinstance(there.decide(0.0), Start)
    there.completed()
    assert not isinstance(there.decide(0.0), Start)


ACTIONS = st.lists(
    st.sampled_from(["submit", "decide", "completed", "cancelled", "failed", "pause", "go on", "loop", "extend"]),
    max_size=25,
)


@given(ACTIONS, ACTIONS)
def test_wherever_it_moves_a_director_decides_as_one_that_stayed(before: list[str], after: list[str]) -> None:
    stays = Director(RULES, curated_prompts=["one", "two"], auto_extension=True)
    for action in before:
        act(stays, action)
    moves = Director(RULES, curated_prompts=["one", "two"], auto_extension=True)
    moves.restore(stays.record())
    if stays.running is not None:
        running = stays.running
        start = moves.decide(0.0)
        assert isinstance(start, Start)
        assert (start.prompt, start.again) == (running, True)
    assert [act(moves, action) for action in after] == [act(stays, action) for action in after]


def act(one: Director, action: str) -> Any:
    match action:
        case "submit":
            if not one.full:
                one.submit(Prompt("asked"))
        case "decide" if one.running is None:
            return one.decide(0.0)
        case "completed" | "cancelled" | "failed" if one.running is not None:
            getattr(one, action)()
        case "pause" | "go on":
            one.set_paused(action == "pause")
        case "loop":
            one.set_loop(True)
        case "extend":
            one.set_auto_extension(False)
    return one.running
