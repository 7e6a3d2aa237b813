"""The segments of a session, with the real pool, worker and encoder."""

import base64
import io
import json
import os
from typing import Any

import pytest
from PIL import Image

from fastvideo.api.errors import StateInvalid
from fastvideo.entrypoints.streaming.session import SessionState
from fastvideo.media.boxes import parse_boxes

HANDSHAKE = ["queue_status", "gpu_assigned", "ltx2_stream_start"]


async def test_media_is_one_timeline_of_whole_boxes(stage) -> None:
    one = stage(generation_segment_cap=3)
    client = one.open()
    for index in range(3):
        client.say("segment_prompt_source", prompt=f"p{index}")
    await one.over()
    boxes = [[box.kind for box in parse_boxes(item)] for item in client.media]
    assert boxes == [[b"ftyp", b"moov"], *[[b"moof", b"mdat"]] * 4] * 3 + [[b"moof", b"mdat"]]
    inits = [item for item, kinds in zip(client.media, boxes, strict=True) if kinds[0] == b"ftyp"]
    assert len(set(inits)) == 1
    assert len({message["stream_id"] for message in client.of("media_init")}) == 1
    complete = client.of("media_segment_complete")
    assert [message["pts_base_ms"] for message in complete] == [0.0, 1000.0, 2000.0]
    assert [(message["first_sequence"], message["last_sequence"]) for message in complete] == [(1, 4), (5, 8), (9, 12)]
    assert [message["chunks"] for message in complete] == [4, 4, 4]
    assert complete[0]["bytes"] == sum(len(item) for item in client.media[:5])


async def test_the_summary_of_a_segment_adds_up(stage) -> None:
    one = stage(generation_segment_cap=1)
    client = one.open()
    client.say("segment_prompt_source", prompt="one")
    await one.over()
    (complete,) = client.of("ltx2_segment_complete")
    timings = complete["timings"]
    assert set(timings) == {"queue", "denoise", "encode", "first_fragment"}
    assert complete["e2e_latency_ms"] >= complete["generation_time_ms"] >= timings["first_fragment"] > 0


async def test_each_segment_continues_the_state_of_the_one_before_which_is_stored_before_it_is_announced(stage) -> None:
    one = stage(generation_segment_cap=3)
    client = one.open()
    stored_at_announcement = []
    send = client.send

    async def watching(frame: Any) -> None:
        if isinstance(frame, str) and json.loads(frame)["type"] == "ltx2_segment_complete":
            session = one.only_session
            state = one.server.session_store.snapshot(session.id)
            stored_at_announcement.append(state.payload["segment_index"])
        await send(frame)

    client.send = watching
    for index in range(3):
        client.say("segment_prompt_source", prompt=f"p{index}")
    await client.hears("ltx2_segment_complete", 2)
    await one.over()
    assert stored_at_announcement[:2] == [0, 1]
    states = [request.state and request.state.payload["segment_index"] for request in one.generator.requests]
    assert states == [None, 0, 1]


async def test_a_state_from_the_opening_message_is_continued_by_the_first_segment(stage) -> None:
    one = stage(generation_segment_cap=1)
    client = one.open(continuation_state={"kind": "ltx2.v1", "payload": {"schema_version": 1, "segment_index": 41}})
    client.say("snapshot_state")
    await client.hears("continuation_state_snapshot")
    client.say("segment_prompt_source", prompt="on")
    await one.over()
    assert one.generator.requests[0].state.payload["segment_index"] == 41
    assert client.of("ltx2_segment_start")[0]["segment_idx"] == 0


async def test_single_clips_start_afresh_and_have_no_cap(stage) -> None:
    one = stage(generation_segment_cap=2)
    client = one.open(single_clip_mode=True)
    for index in range(4):
        client.say("segment_prompt_source", prompt=f"p{index}")
    await client.hears("ltx2_segment_complete", 4)
    assert [request.state for request in one.generator.requests] == [None] * 4
    assert [message["pts_base_ms"] for message in client.of("media_segment_complete")] == [0.0, 1000.0, 2000.0, 3000.0]
    client.say("session_stop")
    await one.over()


async def test_the_initial_image_is_used_for_the_first_segment_only_and_its_file_goes_with_the_session(stage) -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "PNG")
    image = {"mime": "image/png", "data": base64.b64encode(file.getvalue()).decode()}
    one = stage(generation_segment_cap=2)
    client = one.open(initial_image=image)
    client.say("segment_prompt_source", prompt="one")
    await client.hears("ltx2_segment_complete")
    path = one.generator.requests[0].inputs.image_path
    assert os.path.exists(path)  # noqa: ASYNC240
    client.say("segment_prompt_source", prompt="two")
    await one.over()
    assert one.generator.requests[1].inputs.image_path is None
    assert not os.path.exists(path)  # noqa: ASYNC240


# --- while a segment runs


async def test_the_socket_is_read_while_a_segment_runs(stage) -> None:
    one = stage(generation_segment_cap=2)
    client = one.open()
    client.say("segment_prompt_source", prompt="first")
    await client.hears("ltx2_segment_complete")
    one.generator.hold()
    client.say("segment_prompt_source", prompt="second")
    await client.hears("ltx2_segment_start", 2)
    client.say("ping", id=7)
    client.say("snapshot_state")
    client.say("nonsense")
    assert (await client.hears("pong"))["id"] == 7
    snapshot = await client.hears("continuation_state_snapshot")
    assert snapshot["state"]["payload"]["segment_index"] == 0
    assert (snapshot["kind"], snapshot["payload"]) == ("ltx2.v1", snapshot["state"]["payload"])
    error = await client.hears("error")
    assert (error["code"], error["retryable"]) == ("invalid_message", True)
    assert len(client.of("ltx2_segment_complete")) == 1
    one.generator.free()
    await one.over()


async def test_a_cancelled_segment_ends_at_once_and_the_session_goes_on_with_the_same_index(stage) -> None:
    one = stage(generation_segment_cap=1)
    client = await one.held()
    client.say("segment_cancel")
    assert (await client.hears("segment_cancelled"))["segment_idx"] == 0
    assert "media_init" not in client.kinds
    client.say("segment_prompt_source", prompt="again")
    one.generator.free()
    await one.over()
    assert [message["segment_idx"] for message in client.of("ltx2_segment_start")] == [0, 0]
    assert ("cancelled", "held") in one.generator.trace
    assert client.of("media_segment_complete")[0]["pts_base_ms"] == 0.0


async def test_a_segment_cancelled_after_some_media_stays_on_the_timeline(stage) -> None:
    one = stage(generation_segment_cap=1)
    client = await one.held()
    one.generator.allow(2)
    await client.hears("media_init")
    client.say("segment_cancel")
    await client.settled()
    one.generator.allow(1)
    await client.hears("segment_cancelled")
    cut = await client.hears("media_segment_complete")
    assert 0 < cut["duration_ms"] < 1000
    one.generator.free()
    client.say("segment_prompt_source", prompt="next")
    await one.over()
    following = client.of("media_segment_complete")[1]
    assert following["pts_base_ms"] == pytest.approx(cut["duration_ms"])
    assert following["first_sequence"] == cut["last_sequence"] + 1


async def test_a_segment_that_waits_for_its_turn_is_cancelled_at_once(stage, fakes) -> None:
    one = stage(generation_segment_cap=1)
    await one.held()
    client = one.open()
    client.say("segment_prompt_source", prompt="waits")
    await client.hears("ltx2_stream_start")
    await fakes.until(lambda: one.server.pool.turns_waiting == 1)
    client.say("segment_cancel")
    await client.hears("segment_cancelled")
    assert client.of("ltx2_segment_start") == []
    assert one.server.pool.turns_waiting == 0


async def test_a_cancel_without_a_segment_changes_nothing(stage) -> None:
    one = stage(generation_segment_cap=1)
    client = one.open()
    client.say("segment_cancel")
    await client.settled()
    client.say("segment_prompt_source", prompt="one")
    await one.over()
    assert client.of("ltx2_segment_complete")


async def test_a_stop_cuts_the_segment_sends_the_sound_owed_and_completes_the_stream(stage) -> None:
    one = stage()
    client = await one.held()
    one.generator.allow(2)
    await client.hears("media_init")
    client.say("session_stop")
    await client.settled()
    one.generator.allow(1)
    await one.over()
    assert client.kinds[-4:] == ["media_segment_complete", "segment_cancelled", "media", "ltx2_stream_complete"]
    assert client.of("ltx2_stream_complete")[0]["reason"] == "stop_requested"
    assert client.closed == (1000, "stop_requested")


async def test_a_stop_before_anything_was_made_just_completes(stage) -> None:
    one = stage()
    client = one.open()
    client.say("session_stop")
    await one.over()
    assert client.kinds == [*HANDSHAKE, "ltx2_stream_complete"]


async def test_a_pause_takes_effect_after_the_running_segment_and_defers_what_is_queued(stage) -> None:
    one = stage(generation_segment_cap=2)
    client = await one.held("first")
    client.say("segment_prompt_source", prompt="second")
    client.say("generation_paused_updated", paused=True)
    await client.settled()
    one.generator.free()
    await client.hears("ltx2_segment_complete")
    await client.settled()
    assert len(client.of("ltx2_segment_start")) == 1
    client.say("generation_paused_updated", paused=False)
    await one.over()
    assert [message["prompt"] for message in client.of("ltx2_segment_start")] == ["first", "second"]


# --- failures


async def test_a_failed_segment_is_an_error_and_the_session_goes_on(stage) -> None:
    one = stage(generation_segment_cap=1)
    one.generator.failures["bad"] = lambda: ZeroDivisionError("/secret/path")
    client = one.open()
    client.say("segment_prompt_source", prompt="bad")
    error = await client.hears("error")
    assert (error["code"], error["retryable"]) == ("worker_failed", True)
    assert "secret" not in error["message"]
    assert one.only_session.state is SessionState.ACTIVE
    client.say("segment_prompt_source", prompt="good")
    await one.over()
    assert client.of("ltx2_stream_complete")[0]["reason"] == "segment_cap"


async def test_a_segment_that_fails_after_some_media_leaves_a_timeline_that_goes_on(stage) -> None:
    one = stage(generation_segment_cap=1)
    one.generator.failures["bad"] = lambda: MemoryError()
    one.generator.fail_after_frames = 4
    client = one.open()
    client.say("segment_prompt_source", prompt="bad")
    await client.hears("error")
    client.say("segment_prompt_source", prompt="good")
    await one.over()
    cut, whole = client.of("media_segment_complete")
    assert whole["first_sequence"] == cut["last_sequence"] + 1
    assert whole["pts_base_ms"] == pytest.approx(cut["duration_ms"])


async def test_a_coder_that_dies_ends_the_stream_with_an_error_and_a_completing_message(stage, monkeypatch) -> None:
    from fastvideo.api.errors import EncodeError
    from fastvideo.media.video_coder import VideoCoder

    code = VideoCoder.code
    calls = iter(range(100))

    def dying(self, picture):
        if next(calls) == 5:
            raise EncodeError("died")
        return code(self, picture)

    monkeypatch.setattr(VideoCoder, "code", dying)
    one = stage()
    client = one.open()
    client.say("segment_prompt_source", prompt="x")
    await one.over()
    assert client.kinds[-2:] == ["error", "ltx2_stream_complete"]
    assert client.of("error")[0]["code"] == "worker_failed"
    assert client.of("ltx2_stream_complete")[0]["reason"] == "error"
    assert client.closed == (1011, "worker_failed")


async def test_an_error_the_generator_raises_on_purpose_keeps_its_code(stage) -> None:
    one = stage()
    one.generator.failures["x"] = lambda: StateInvalid("the state has frames of another size")
    client = one.open()
    client.say("segment_prompt_source", prompt="x")
    error = await client.hears("error")
    assert (error["code"], error["reason"]) == ("invalid_message", "state_invalid")


async def test_a_generator_without_states_starts_each_segment_afresh(stage, fakes) -> None:
    one = stage(fakes.StepGenerator(with_state=False), generation_segment_cap=2)
    client = one.open()
    client.say("segment_prompt_source", prompt="one")
    await client.hears("ltx2_segment_complete")
    client.say("snapshot_state")
    error = await client.hears("error")
    assert (error["code"], error["retryable"]) == ("internal_error", False)
    client.say("segment_prompt_source", prompt="two")
    await one.over()
    assert [request.state for request in one.generator.requests] == [None, None]
