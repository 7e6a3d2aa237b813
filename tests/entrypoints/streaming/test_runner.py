"""Sessions over a fake connection: the real runner, pool, worker and encoder, and a generator that a test can hold."""

import asyncio
import base64
import io
import json
import os
from typing import Any

import pytest
from PIL import Image

from fastvideo.api.errors import StateInvalid
from fastvideo.api.schema import GpuPoolConfig, PacingConfig, QueueConfig, RequestLimits
from fastvideo.entrypoints.streaming import runner as runner_module
from fastvideo.entrypoints.streaming import session_post
from fastvideo.entrypoints.streaming.drain import drain
from fastvideo.entrypoints.streaming.session import SessionState
from fastvideo.media.boxes import parse_boxes

SEGMENT = [
    "ltx2_segment_start",
    "step_complete",
    "step_complete",
    "media_init",
    *["media"] * 5,
    "media_segment_complete",
    "ltx2_segment_complete",
]
HANDSHAKE = ["queue_status", "gpu_assigned", "ltx2_stream_start"]


def only_session(stage: Any) -> Any:
    (session,) = stage.server.sessions.active_sessions()
    return session


async def test_a_session_follows_the_documented_order_from_the_handshake_to_the_cap(stage) -> None:
    one = stage(generation_segment_cap=2)
    client = one.open(client_id="me")
    await client.hears("ltx2_stream_start")
    assert client.kinds == HANDSHAKE
    first, assigned, start = client.received
    assert (first["position"], first["queue_depth"], len(first["session_id"])) == (0, 0, 32)
    assert (assigned["gpu_id"], assigned["session_timeout"], assigned["model_id"]) == (0, 300, "steps")
    assert (start["width"], start["height"], start["fps"], start["num_frames"]) == (64, 64, 8, 8)
    assert start["limits"]["max_num_frames"] == RequestLimits().max_num_frames
    client.say("segment_prompt_source", prompt="one")
    client.say("segment_prompt_source", prompt="two")
    await one.over()
    # The last binary message is the sound that the timeline still owed.
    assert client.kinds == [*HANDSHAKE, *SEGMENT, *SEGMENT, "media", "ltx2_stream_complete"]
    assert client.of("ltx2_stream_complete")[0]["reason"] == "segment_cap"
    assert client.closed == (1000, "segment_cap")
    assert [message["segment_idx"] for message in client.of("ltx2_segment_start")] == [0, 1]


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
            session = only_session(one)
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


async def held(one: Any, prompt: str = "held", **opening: Any) -> Any:
    """A client whose segment stands before its first step."""
    one.generator.hold()
    client = one.open(**opening)
    client.say("segment_prompt_source", prompt=prompt)
    await client.hears("ltx2_segment_start")
    return client


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
    client = await held(one)
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
    client = await held(one)
    one.generator.allow(2)
    await client.hears("media_init")
    client.say("segment_cancel")
    await settled(client)
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


async def settled(client: Any) -> None:
    """What was said before this has been answered when the pong comes."""
    client.say("ping", id="settle")
    await client.hears("pong", len(client.of("pong")) + 1)


async def test_a_segment_that_waits_for_its_turn_is_cancelled_at_once(stage, fakes) -> None:
    one = stage(generation_segment_cap=1)
    await held(one)
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
    await settled(client)
    client.say("segment_prompt_source", prompt="one")
    await one.over()
    assert client.of("ltx2_segment_complete")


async def test_a_stop_cuts_the_segment_sends_the_sound_owed_and_completes_the_stream(stage) -> None:
    one = stage()
    client = await held(one)
    one.generator.allow(2)
    await client.hears("media_init")
    client.say("session_stop")
    await settled(client)
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
    client = await held(one, "first")
    client.say("segment_prompt_source", prompt="second")
    client.say("generation_paused_updated", paused=True)
    await settled(client)
    one.generator.free()
    await client.hears("ltx2_segment_complete")
    await settled(client)
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
    assert only_session(one).state is SessionState.ACTIVE
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


async def test_a_fault_of_the_server_is_an_internal_error_and_closes_1011(stage, monkeypatch) -> None:
    one = stage()
    monkeypatch.setattr(one.server.pool, "join", None)
    client = one.open()
    await one.over()
    assert client.of("error")[0] == {
        "type": "error",
        "code": "internal_error",
        "message": "The server met an unexpected error.",
        "retryable": False,
    }
    assert client.closed == (1011, "internal_error")


# --- prompts


async def test_a_prompt_with_an_id_hears_what_becomes_of_it(stage) -> None:
    one = stage(generation_segment_cap=1)
    client = one.open()
    client.say("segment_prompt_source", prompt="one", request_id="r1")
    client.say("segment_prompt_source", prompt="two", request_id="r2", num_inference_steps=10**9)
    await one.over()
    told = client.of("prompt_status")
    assert [item["status"] for item in told if item["request_id"] == "r1"] == ["pending", "applied"]
    assert [(item["status"], item["reason"]) for item in told if item["request_id"] == "r2"] == [
        ("rejected", "limit_exceeded")
    ]
    applied = client.received.index({"type": "prompt_status", "request_id": "r1", "status": "applied"})
    assert client.kinds[applied + 1] == "ltx2_segment_start"


@pytest.mark.parametrize(
    ("fields", "path", "reason"),
    [
        ({"prompt": "x", "num_inference_steps": 10**9}, "num_inference_steps:", "limit_exceeded"),
        ({"prompt": "x", "guidance_scale": 1e9}, "guidance_scale:", "limit_exceeded"),
        ({"prompt": "x", "seed": -5}, "seed:", "limit_exceeded"),
        ({"prompt": "x" * 5000}, "prompt:", "limit_exceeded"),
        ({"prompt": " "}, "prompt:", None),
    ],
)
async def test_a_prompt_beyond_the_limits_is_refused_with_the_field_and_the_session_goes_on(
    stage, fields, path, reason
) -> None:
    one = stage(generation_segment_cap=1)
    client = one.open()
    client.say("segment_prompt_source", **fields)
    error = await client.hears("error")
    assert error["code"] == "invalid_message"
    assert error.get("reason") == reason
    assert error["message"].startswith(path)
    assert one.generator.requests == []
    client.say("segment_prompt_source", prompt="fine")
    await one.over()


async def test_no_more_prompts_wait_than_allowed(stage) -> None:
    one = stage(generation_segment_cap=3, limits=RequestLimits(max_queued_prompts=2))
    client = await held(one)
    for index in range(3):
        client.say("segment_prompt_source", prompt=f"p{index}")
    error = await client.hears("error")
    assert (error["code"], error["reason"]) == ("invalid_message", "limit_exceeded")
    one.generator.free()
    await one.over()
    assert [message["prompt"] for message in client.of("ltx2_segment_start")] == ["held", "p0", "p1"]


async def test_the_source_of_a_prompt_is_told(stage) -> None:
    one = stage(generation_segment_cap=1)
    client = one.open()
    client.say("segment_prompt_source", prompt="x", source="enhanced")
    await one.over()
    assert client.of("ltx2_segment_start")[0]["source"] == "enhanced"


@pytest.mark.parametrize(
    "frame",
    [
        b"binary",
        "no json",
        "[1]",
        '{"type": "session_init_v2"}',
        '{"type": "session_resume", "resume_token": "x", "last_sequence": 0}',
        '{"type": "generation_paused_updated"}',
        '{"type": "seed_prompts_updated", "seed_prompts": [1]}',
        '{"type": "seed_prompts_updated", "seed_prompts": ["' + "x" * 5000 + '"]}',
        '{"type": "playback_status", "position_ms": -1, "buffered_ms": 0, "stalls": 0}',
        '{"a":' * 50_000,
        '{"type": "ping", "id": "' + "x" * (1 << 20) + '"}',
    ],
    ids=lambda frame: str(frame[:40]),
)
async def test_a_bad_message_is_answered_and_the_session_goes_on(stage, frame) -> None:
    one = stage(generation_segment_cap=1)
    client = one.open()
    await client.hears("ltx2_stream_start")
    client.raw(frame)
    error = await client.hears("error")
    assert error["code"] == "invalid_message"
    client.say("segment_prompt_source", prompt="fine")
    await one.over()
    assert client.closed == (1000, "segment_cap")


# --- automatic sources


async def test_a_looping_session_plays_its_curated_prompts_by_itself(stage) -> None:
    one = stage(generation_segment_cap=3, pacing=PacingConfig(lead_seconds=60.0))
    client = one.open(curated_prompts=["a", "b"], loop_generation_enabled=True)
    await one.over()
    starts = [(message["prompt"], message["source"]) for message in client.of("ltx2_segment_start")]
    assert starts == [("a", "curated"), ("b", "curated"), ("a", "curated")]


async def test_a_client_that_knows_only_the_documents_gets_no_segment_it_did_not_ask_for(stage) -> None:
    one = stage(generation_segment_cap=3)
    client = one.open(curated_prompts=["a", "b"])
    await settled(client)
    assert client.kinds == [*HANDSHAKE, "pong"]
    client.leave()
    await one.over()


async def test_automatic_segments_keep_the_lead_over_the_viewer(stage) -> None:
    one = stage(generation_segment_cap=100, pacing=PacingConfig(lead_seconds=2.5))
    now = [1000.0]
    one.server.clock = lambda: now[0]
    client = one.open(curated_prompts=["a"], loop_generation_enabled=True)
    await client.hears("ltx2_segment_complete", 3)
    await settled(client)
    # Three seconds are sent and the viewer has seen nothing: more than the lead.
    assert len(client.of("ltx2_segment_start")) == 3
    client.say("playback_status", position_ms=600, buffered_ms=3000, stalls=0)
    await client.hears("ltx2_segment_complete", 4)
    await settled(client)
    assert len(client.of("ltx2_segment_start")) == 4
    client.say("session_stop")
    await one.over()


async def test_a_viewer_who_ran_dry_is_told_how_late_the_media_was(stage) -> None:
    one = stage(generation_segment_cap=2)
    now = [1000.0]
    one.server.clock = lambda: now[0]
    one.generator.hold()
    # The two steps and the three further partials of one segment.
    one.generator.allow(5)
    client = one.open(curated_prompts=["a"], loop_generation_enabled=True)
    client.say("playback_status", position_ms=0, buffered_ms=1000, stalls=0)
    await client.hears("ltx2_segment_start", 2)
    await settled(client)
    now[0] += 1.5
    one.generator.free()
    await one.over()
    assert client.of("deadline_missed") == [{"type": "deadline_missed", "late_ms": 500.0}]
    missed = client.kinds.index("deadline_missed")
    assert client.kinds[missed + 1] == "media_init"


async def test_a_session_that_runs_by_itself_hears_when_it_is_blocked_and_resumed(stage) -> None:
    one = stage(generation_segment_cap=2)
    client = one.open(auto_extension_enabled=True)
    assert (await client.hears("generation_blocked"))["reason"] == "no_prompt"
    client.say("segment_prompt_source", prompt="go")
    await client.hears("generation_resumed")
    await one.over()
    assert [message["source"] for message in client.of("ltx2_segment_start")] == ["user", "auto_extension"]


async def test_new_curated_prompts_take_over_from_the_next_segment(stage) -> None:
    one = stage(generation_segment_cap=2, pacing=PacingConfig(lead_seconds=60.0))
    one.generator.hold()
    client = one.open(curated_prompts=["old", "older"], loop_generation_enabled=True)
    await client.hears("ltx2_segment_start")
    client.say("seed_prompts_updated", seed_prompts=["new"])
    await settled(client)
    one.generator.free()
    await one.over()
    assert [message["prompt"] for message in client.of("ltx2_segment_start")] == ["old", "new"]


async def test_a_pausing_cap_keeps_the_session_and_a_prompt_goes_on(stage) -> None:
    one = stage(generation_segment_cap=1, at_cap="pause")
    client = one.open(curated_prompts=["a"], loop_generation_enabled=True)
    assert (await client.hears("generation_blocked"))["reason"] == "segment_cap"
    client.say("segment_prompt_source", prompt="more")
    await client.hears("ltx2_segment_complete", 2)
    client.say("session_stop")
    await one.over()


async def test_toggles_are_kept_on_the_session(stage) -> None:
    one = stage()
    client = one.open(preset_label="Mine", extra_key={"kept": 1})
    for kind, field in (
        ("loop_generation_updated", "loop_generation_enabled"),
        ("auto_extension_updated", "auto_extension_enabled"),
        ("enhancement_updated", "enhancement_enabled"),
    ):
        client.say(kind, enabled=True)
        await settled(client)
        assert getattr(only_session(one), field)
    client.say("generation_paused_updated", paused=True)
    client.say("seed_prompts_updated", seed_prompts=["s"])
    await settled(client)
    session = only_session(one)
    assert session.generation_paused
    assert session.curated_prompts == ["s"]
    assert session.preset_label == "Mine"
    assert session.metadata == {"extra_key": {"kept": 1}}


# --- the end


async def test_a_client_that_leaves_frees_the_worker_within_one_step_and_its_place_at_once(stage) -> None:
    one = stage(max_sessions=1, pool=None)
    client = await held(one)
    client.leave()
    await one.over()
    assert len(one.server.sessions) == 0
    assert one.generator.trace == []
    again = one.open()
    await again.hears("ltx2_stream_start")
    again.say("segment_prompt_source", prompt="again")
    one.generator.allow(1)
    await again.hears("ltx2_segment_start")
    assert one.generator.trace == [("cancelled", "held")]
    one.generator.free()
    await again.hears("ltx2_segment_complete")


async def test_a_client_that_leaves_before_its_opening_message_leaves_nothing(stage) -> None:
    one = stage()
    client = one.connect()
    client.leave()
    await one.over()
    assert client.received == []


async def test_a_silent_client_times_out_with_a_message(stage) -> None:
    one = stage(session_timeout_seconds=30)
    now = [1000.0]
    one.server.clock = lambda: now[0]
    client = one.open()
    client.say("segment_prompt_source", prompt="one")
    await client.hears("ltx2_segment_complete")
    await settled(client)
    now[0] += 30.5
    # A page that is merely open is no sign of life.
    client.say("playback_status", position_ms=0, buffered_ms=0, stalls=0)
    await settled(client)
    (session_id,) = one.server.sessions.reap_timed_out(now[0])
    one.server.runners[session_id].expire()
    await one.over()
    assert client.kinds[-2:] == ["media", "session_timeout"]
    assert client.of("session_timeout") == [
        {"type": "session_timeout", "timeout_seconds": 30, "reason": "client_message"}
    ]
    assert client.closed == (1000, "session_timeout")


async def test_a_session_whose_segment_runs_is_not_idle(stage) -> None:
    one = stage(session_timeout_seconds=30)
    now = [1000.0]
    one.server.clock = lambda: now[0]
    client = await held(one)
    now[0] += 100
    (session_id,) = one.server.sessions.reap_timed_out(now[0])
    one.server.runners[session_id].expire()
    assert one.server.sessions.reap_timed_out(now[0]) == []
    one.generator.free()
    await client.hears("ltx2_segment_complete")


async def test_a_connection_that_never_opens_a_session_times_out(stage, monkeypatch) -> None:
    monkeypatch.setattr(runner_module, "OPENING_TIMEOUT_S", 0.02)
    one = stage()
    client = one.connect()
    session = only_session(one)
    await one.over()
    assert client.of("session_timeout")[0]["reason"] == "opening_message"
    assert client.closed == (1000, "session_timeout")
    assert session.state is SessionState.TIMEOUT


async def test_a_refused_opening_is_told_and_closed_1003(stage) -> None:
    one = stage()
    client = one.open(preset="unknown")
    session = only_session(one)
    await one.over()
    assert client.kinds == ["error"]
    assert client.of("error")[0]["code"] == "preset_mismatch"
    assert client.closed == (1003, "invalid_init")
    assert session.state is SessionState.REJECTED


async def test_a_drain_finishes_the_running_segment_and_ends_the_others_at_once(stage, fakes) -> None:
    one = stage()
    one.server.pool._admission.set_slots(3, 0.0)
    busy = await held(one)
    busy.say("segment_prompt_source", prompt="never begun")
    idle, waits_for_its_turn = one.open(), one.open()
    for client in (idle, waits_for_its_turn):
        await client.hears("ltx2_stream_start")
    waits_for_its_turn.say("segment_prompt_source", prompt="its turn")
    await fakes.until(lambda: one.server.pool.turns_waiting == 1)
    waits_for_a_place, says_nothing = one.open(), one.connect()
    await waits_for_a_place.hears("queue_status")
    one.server.connections.update(one.sessions)
    draining = asyncio.create_task(drain(one.server, 30.0))
    for client in (idle, waits_for_its_turn, waits_for_a_place, says_nothing):
        error = await client.hears("error")
        assert (error["code"], error["reason"], error["retryable"]) == ("gpu_unavailable", "draining", True)
        await fakes.until(lambda client=client: client.closed)
        assert client.closed == (1001, "shutting_down")
    assert busy.closed is None
    one.generator.free()
    await draining
    # After the whole segment comes the sound that the timeline still owed.
    assert busy.kinds == [*HANDSHAKE, *SEGMENT, "media", "error"]
    assert busy.closed == (1001, "shutting_down")
    assert {prompt for _, prompt in one.generator.trace} == {"held"}
    assert len(one.server.sessions) == 0


async def test_a_stream_that_is_complete_with_its_last_segment_ends_so_also_in_a_drain(stage) -> None:
    one = stage(generation_segment_cap=1)
    client = await held(one)
    one.server.connections.update(one.sessions)
    draining = asyncio.create_task(drain(one.server, 30.0))
    one.generator.free()
    await draining
    assert client.kinds[-1] == "ltx2_stream_complete"
    assert client.closed == (1000, "segment_cap")


async def test_a_segment_that_is_cut_off_by_the_drain_is_not_followed_by_sound_of_another_place(stage, fakes) -> None:
    one = stage()
    client = one.open()
    client.say("segment_prompt_source", prompt="whole")
    await client.hears("ltx2_segment_complete")
    one.generator.hold()
    client.say("segment_prompt_source", prompt="cut off")
    one.generator.allow(2)
    await client.hears("media_init", 2)
    await fakes.until(lambda: len(client.media) == 7)
    one.server.connections.update(one.sessions)
    await drain(one.server, 0.01)
    assert client.closed == (1001, "shutting_down")
    assert client.kinds[-2:] == ["media", "error"]
    assert len(client.media) == 7
    one.generator.free()


async def test_a_session_whose_segment_was_cancelled_is_idle_to_a_drain(stage) -> None:
    one = stage()
    client = await held(one)
    one.generator.allow(2)
    await client.hears("media_init")
    client.say("segment_cancel")
    await settled(client)
    one.generator.free()
    await client.hears("segment_cancelled")
    one.server.connections.update(one.sessions)
    await drain(one.server, 30.0)
    # The owed sound follows, as the cut left the timeline in order.
    assert client.kinds[-2:] == ["media", "error"]
    assert client.closed == (1001, "shutting_down")


async def test_a_server_that_shuts_down_says_so(stage) -> None:
    one = stage()
    client = await held(one)
    session = only_session(one)
    one.server.runners[session.id].shut_down()
    await one.over()
    assert client.of("error")[0]["reason"] == "draining"
    assert client.of("error")[0]["retryable"]
    assert client.closed == (1001, "shutting_down")
    assert session.state is SessionState.COMPLETE


async def test_a_client_that_stops_reading_is_dropped_and_the_worker_is_free(stage, monkeypatch) -> None:
    monkeypatch.setattr(session_post, "SLOW_READER_S", 0.1)
    monkeypatch.setattr(runner_module, "FAREWELL_S", 0.1)
    one = stage()
    client = await held(one)
    client.reading.clear()
    one.generator.free()
    await one.over()
    assert client.closed is None
    assert one.server.metrics.ended.labels("too_slow")._value.get() == 1
    assert len(one.server.sessions) == 0


async def test_a_slow_client_that_still_reads_hears_why_it_is_dropped(stage, fakes, monkeypatch) -> None:
    monkeypatch.setattr(session_post, "SLOW_READER_S", 0.1)
    one = stage()
    client = await held(one)
    client.reading.clear()
    one.generator.free()
    await fakes.until(client.runner._ending.done)
    client.reading.set()
    await one.over()
    assert client.of("error")[-1]["code"] == "session_rejected"
    assert client.closed == (1013, "too_slow")


async def test_a_reader_that_stops_holds_back_its_own_next_segment_and_nothing_piles_up(stage) -> None:
    one = stage(generation_segment_cap=50, pacing=PacingConfig(lead_seconds=1000.0))
    slow = one.open(curated_prompts=["slow"], loop_generation_enabled=True)
    await slow.hears("ltx2_segment_complete")
    slow.reading.clear()
    fast = one.open()
    for index in range(5):
        fast.say("segment_prompt_source", prompt=f"fast {index}")
    # The others are served meanwhile.
    await fast.hears("ltx2_segment_complete", 5)
    made = [prompt for kind, prompt in one.generator.trace if kind == "done"]
    assert made.count("slow") <= 3
    slow.reading.set()
    await slow.hears("ltx2_segment_complete", 6)


# --- waiting for a worker

ONE_PLACE = GpuPoolConfig(sessions_per_worker=1, idle_yield_seconds=20.0)


async def test_a_session_that_waits_hears_its_place_and_can_already_speak(stage) -> None:
    one = stage(pool=None, generation_segment_cap=1, queue=QueueConfig(max_length=5))
    one.server.pool._admission.set_slots(1, 0.0)
    first = await held(one)
    second, third = one.open(), one.open()
    await third.hears("queue_status")
    assert [(item["position"], item["queue_depth"]) for item in second.of("queue_status")] == [(0, 1), (0, 2)]
    assert [(item["position"], item["queue_depth"]) for item in third.of("queue_status")] == [(1, 2)]
    assert "session_id" not in second.of("queue_status")[1]
    second.say("ping", id=1)
    second.say("segment_prompt_source", prompt="second")
    await second.hears("pong")
    third.leave()
    await one.over(2)
    await second.hears("queue_status", 3)
    one.generator.free()
    await one.over(0)
    await one.over(1)
    assert len(first.of("queue_status")) == 1
    assert second.of("queue_status")[2]["queue_depth"] == 1
    assert second.of("queue_status")[-1]["eta_ms"] >= 1000
    assert second.of("ltx2_stream_complete")[0]["reason"] == "segment_cap"


async def test_a_session_that_waits_too_long_gets_no_worker(stage) -> None:
    one = stage(session_timeout_seconds=1)
    one.server.pool._admission.set_slots(0, 0.0)
    client = one.open()
    session = only_session(one)
    await one.over()
    error = client.of("error")[0]
    assert (error["code"], error["retryable"]) == ("gpu_unavailable", True)
    assert client.closed == (1013, "gpu_unavailable")
    assert session.state is SessionState.ERROR


async def test_a_queue_that_is_full_rejects_with_a_retry(stage) -> None:
    one = stage(queue=QueueConfig(max_length=0))
    one.server.pool._admission.set_slots(0, 0.0)
    client = one.open()
    await one.over()
    assert client.of("error")[0]["code"] == "gpu_unavailable"
    assert client.closed == (1013, "gpu_unavailable")


async def test_an_idle_session_yields_and_queues_again_with_its_next_prompt_and_its_state(stage) -> None:
    from fastvideo.entrypoints.streaming.in_process_pool import InProcessGpuPool

    one = stage()
    pool = InProcessGpuPool(
        one.generator, config=GpuPoolConfig(sessions_per_worker=1, idle_yield_seconds=0.05), queue_length=5
    )
    one.server.pool = pool
    try:
        idle = one.open()
        idle.say("segment_prompt_source", prompt="idle 1")
        await idle.hears("ltx2_segment_complete")
        other = one.open()
        await other.hears("ltx2_stream_start")
        one.generator.hold()
        other.say("segment_prompt_source", prompt="other")
        await other.hears("ltx2_segment_start")
        idle.say("segment_prompt_source", prompt="idle 2")
        again = await idle.hears("queue_status", 2)
        assert (again["position"], again["queue_depth"]) == (0, 1)
        one.generator.free()
        await idle.hears("ltx2_segment_complete", 2)
        assert one.generator.requests[-1].state.payload["segment_index"] == 0
        assert len(idle.of("gpu_assigned")) == 1
    finally:
        await pool.shutdown()


# --- what is written down


async def test_the_session_log_tells_the_story(stage, tmp_path) -> None:
    one = stage(session_log_dir=str(tmp_path), generation_segment_cap=1)
    one.generator.failures["bad"] = lambda: ZeroDivisionError()
    client = one.open()
    client.say("segment_prompt_source", prompt="bad")
    await client.hears("error")
    client.say("segment_prompt_source", prompt="good")
    await one.over()
    await asyncio.to_thread(one.server.log.close_all)
    (file,) = tmp_path.iterdir()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["event"] for line in lines] == [
        "session_start",
        "gpu_assigned",
        "prompt",
        "segment_start",
        "error",
        "prompt",
        "segment_start",
        "segment_complete",
        "session_end",
    ]
    assert lines[-2]["payload"]["timings"]["encode"] > 0
    assert lines[-1]["payload"]["reason"] == "segment_cap"
    assert lines[-1]["payload"]["segments"] == 1


async def test_metrics_count_what_happened(stage) -> None:
    one = stage(generation_segment_cap=1)
    client = one.open()
    client.say("segment_prompt_source", prompt="")
    client.say("segment_prompt_source", prompt="x")
    await one.over()
    text = one.server.metrics.exposition().decode()
    assert 'fastvideo_segments_total{outcome="complete"} 1.0' in text
    assert 'fastvideo_errors_total{code="invalid_message"} 1.0' in text
    assert 'fastvideo_sessions_ended_total{reason="segment_cap"} 1.0' in text
    assert "fastvideo_segment_seconds_count 1.0" in text
    assert "fastvideo_first_fragment_seconds_count 1.0" in text
    media = sum(len(item) for item in client.media)
    assert f'fastvideo_sent_bytes_total{{kind="media"}} {float(media)}' in text
