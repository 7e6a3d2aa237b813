import asyncio
import json
import threading

import numpy as np
import pytest
import torch

from fastvideo.api.continuation_kinds import register_continuation_kind
from fastvideo.api.errors import LimitExceeded, StateInvalid
from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.streaming.session import Session
from fastvideo.entrypoints.streaming.session_lease import LeaseLost
from fastvideo.entrypoints.streaming.session_store import InMemoryBlobStore, InMemorySessionStore
from fastvideo.entrypoints.streaming.state_blobs import blob_ids, check_client_state, inline, to_blobs
from fastvideo.entrypoints.streaming.state_keeper import StateKeeper, snapshot_text
from fastvideo.entrypoints.streaming.store_errors import StoreFull, StoreUnavailable
from fastvideo.pipelines.basic.ltx2.continuation import LTX2ContinuationState


def ltx2_state(segment_index: int = 0, size: int = 64) -> ContinuationState:
    noise = np.random.default_rng(segment_index).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    return LTX2ContinuationState(
        segment_index=segment_index,
        video_frames=list(noise),
        audio_latents=torch.arange(256, dtype=torch.bfloat16).reshape(1, 8, 2, 16),
        audio_sample_rate=24_000,
    ).to_continuation_state()


def test_large_parts_go_to_the_store_and_come_back_bit_for_bit() -> None:
    store, state = InMemoryBlobStore(), ltx2_state()
    stored = to_blobs(state, store, threshold_bytes=100)
    assert len(blob_ids(stored)) == len(store) == 2
    assert stored.payload["video"]["frame_count"] == 3
    assert len(json.dumps(stored.payload)) < 1000
    assert inline(stored, store) == state


def test_small_parts_stay_where_they_are() -> None:
    store, state = InMemoryBlobStore(), ltx2_state()
    assert to_blobs(state, store) == state
    assert len(store) == 0
    assert inline(state, store) is state


def test_the_pipeline_reads_what_was_stored() -> None:
    store, state = InMemoryBlobStore(), ltx2_state()
    stored = to_blobs(state, store, threshold_bytes=100)
    read = LTX2ContinuationState.from_continuation_state(stored, blob_store=store)
    whole = LTX2ContinuationState.from_continuation_state(state)
    assert read.video_frames is not None
    assert whole.video_frames is not None
    assert all(np.array_equal(a, b) for a, b in zip(read.video_frames, whole.video_frames, strict=True))
    assert torch.equal(read.audio_latents, whole.audio_latents)


def test_a_blob_that_is_gone_is_an_error_and_no_shorter_state() -> None:
    store = InMemoryBlobStore()
    stored = to_blobs(ltx2_state(), store, threshold_bytes=100)
    store.drop(blob_ids(stored)[0])
    with pytest.raises(StateInvalid, match="expired"):
        inline(stored, store)


def test_states_of_other_kinds_pass_through_untouched() -> None:
    register_continuation_kind("test.other")
    state = ContinuationState("test.other", {"video": {"blob_id": "not ours"}})
    store = InMemoryBlobStore()
    assert to_blobs(state, store, threshold_bytes=0) is state
    assert blob_ids(state) == []
    assert inline(state, store) is state
    assert check_client_state("test.other", {"x": 1}).payload == {"x": 1}


def test_a_clients_state_is_taken_whole_or_not_at_all() -> None:
    state = ltx2_state()
    assert check_client_state(state.kind, state.payload) == state
    with pytest.raises(StateInvalid, match="kind"):
        check_client_state("nobody.v9", {})
    with pytest.raises(StateInvalid, match="schema version"):
        check_client_state("ltx2.v1", {"schema_version": 99})
    with pytest.raises(StateInvalid):
        check_client_state("ltx2.v1", {**state.payload, "video": {"frames_b64": ["bm8gcG5n"]}})


def test_the_id_of_a_blob_is_never_taken_from_a_client() -> None:
    with pytest.raises(StateInvalid, match="inline"):
        check_client_state("ltx2.v1", {"video": {"blob_id": "somebody else's"}})


async def test_replacing_a_state_drops_the_blobs_that_only_the_old_one_had(monkeypatch) -> None:
    monkeypatch.setattr("fastvideo.entrypoints.streaming.state_blobs.to_blobs.__kwdefaults__", {"threshold_bytes": 100})
    states, blobs, session = InMemorySessionStore(), InMemoryBlobStore(), Session()
    keeper = StateKeeper(session, states, blobs)
    for index in range(3):
        await keeper.replace(ltx2_state(index))
        assert len(blobs) == 2
        assert await keeper.whole() == ltx2_state(index)
    assert states.snapshot(session.id) == session.continuation_state
    with pytest.raises(KeyError):
        blobs.get(blob_ids(session.continuation_state)[0], owner="another session")
    await keeper.replace(None)
    assert len(blobs) == len(states) == 0
    assert await keeper.whole() is None
    assert await keeper.snapshot_text() is None


async def test_forgetting_leaves_nothing(monkeypatch) -> None:
    monkeypatch.setattr("fastvideo.entrypoints.streaming.state_blobs.to_blobs.__kwdefaults__", {"threshold_bytes": 100})
    states, blobs, session = InMemorySessionStore(), InMemoryBlobStore(), Session()
    keeper = StateKeeper(session, states, blobs)
    await keeper.replace(ltx2_state())
    keeper.forget()
    assert len(blobs) == len(states) == 0
    assert session.continuation_state is None


async def test_a_state_that_is_stored_while_its_session_ends_does_not_stay(fakes) -> None:
    storing, go_on, stored = threading.Event(), threading.Event(), threading.Event()

    class SlowStore(InMemorySessionStore):
        def store(self, session_id: str, state: ContinuationState) -> None:
            storing.set()
            go_on.wait(10)
            super().store(session_id, state)
            stored.set()

    states, blobs = SlowStore(), InMemoryBlobStore()
    keeper = StateKeeper(Session(), states, blobs)
    replacing = asyncio.create_task(keeper.replace(ltx2_state(size=1024)))
    await asyncio.to_thread(storing.wait, 10)
    assert len(blobs) == 1
    replacing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await replacing
    keeper.forget()
    go_on.set()
    await asyncio.to_thread(stored.wait, 10)
    await fakes.until(lambda: len(states) == len(blobs) == 0)


@pytest.fixture
def blobs_for_all_parts(monkeypatch) -> None:
    monkeypatch.setattr("fastvideo.entrypoints.streaming.state_blobs.to_blobs.__kwdefaults__", {"threshold_bytes": 100})


class AwayStore(InMemorySessionStore):
    """Cannot be reached while ``away``."""

    away = False

    def store(self, session_id, state, *, lease=None) -> None:
        if self.away:
            raise StoreUnavailable("away")
        super().store(session_id, state, lease=lease)

    def drop(self, session_id, *, lease=None) -> None:
        if self.away:
            raise StoreUnavailable("away")
        super().drop(session_id, lease=lease)


@pytest.mark.usefixtures("blobs_for_all_parts")
async def test_a_state_that_could_not_be_stored_leaves_the_one_before_as_it_was() -> None:
    states, blobs, session = AwayStore(), InMemoryBlobStore(), Session()
    keeper = StateKeeper(session, states, blobs)
    await keeper.replace(ltx2_state(0))
    states.away = True
    with pytest.raises(StoreUnavailable):
        await keeper.replace(ltx2_state(1))
    assert len(blobs) == 2
    assert await keeper.whole() == ltx2_state(0)
    states.away = False
    await keeper.replace(ltx2_state(2))
    assert await keeper.whole() == ltx2_state(2)
    assert len(blobs) == 2


def test_a_part_that_could_not_be_stored_takes_the_other_one_along() -> None:
    store = InMemoryBlobStore(max_entries=1)
    with pytest.raises(StoreFull):
        to_blobs(ltx2_state(), store, threshold_bytes=100)
    assert len(store) == 0


@pytest.mark.usefixtures("blobs_for_all_parts")
async def test_a_session_that_another_server_took_over_keeps_what_it_stored_there() -> None:
    states, blobs, session = InMemorySessionStore(), InMemoryBlobStore(), Session()
    here = StateKeeper(session, states.held(states.acquire(session.id, "here")), blobs)
    await here.replace(ltx2_state(0))
    there_session = Session(id=session.id, continuation_state=states.snapshot(session.id))
    lease = states.acquire(session.id, "there", take_over=True)
    there = StateKeeper(there_session, states.held(lease), blobs)
    assert await there.whole() == ltx2_state(0)
    with pytest.raises(LeaseLost):
        await here.replace(ltx2_state(1))
    await there.replace(ltx2_state(2))
    await here.close()
    assert session.continuation_state is None
    assert len(blobs) == 2
    assert await there.whole() == ltx2_state(2)
    await there.close()
    assert len(states) == len(blobs) == 0


async def test_a_store_that_is_away_does_not_keep_a_session_from_ending() -> None:
    states, session = AwayStore(), Session()
    keeper = StateKeeper(session, states, InMemoryBlobStore())
    await keeper.replace(ltx2_state())
    states.away = True
    await keeper.close()
    assert session.continuation_state is None


def test_a_snapshot_carries_both_documented_shapes_and_can_be_sent_back() -> None:
    state = ltx2_state()
    message = json.loads(snapshot_text(state))
    assert message["type"] == "continuation_state_snapshot"
    assert message["state"] == {"kind": message["kind"], "payload": message["payload"]}
    assert check_client_state(**message["state"]) == state


def test_a_snapshot_near_the_bound_keeps_the_state_and_leaves_out_its_copy() -> None:
    state = ltx2_state()
    whole = len(snapshot_text(state))
    message = json.loads(snapshot_text(state, max_bytes=whole - 1000))
    assert message["state"]["payload"] == state.payload
    assert "payload" not in message
    with pytest.raises(LimitExceeded, match="bytes"):
        snapshot_text(state, max_bytes=whole // 3)
