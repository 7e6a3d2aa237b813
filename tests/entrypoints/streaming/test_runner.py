"""Sessions from their first message to their end, with the real pool, worker and encoder."""

import asyncio
import json
import logging

from fastvideo.api.schema import PacingConfig, RequestLimits
from fastvideo.entrypoints.json_log import session_of_task
from fastvideo.entrypoints.streaming import runner as runner_module
from fastvideo.entrypoints.streaming import session_post
from fastvideo.entrypoints.streaming.drain import drain
from fastvideo.entrypoints.streaming.session import SessionState

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


# --- the end


async def test_a_client_that_leaves_frees_the_worker_within_one_step_and_its_place_at_once(stage) -> None:
    one = stage(max_sessions=1, pool=None)
    client = await one.held()
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
    await client.settled()
    now[0] += 30.5
    # A page that is merely open is no sign of life.
    client.say("playback_status", position_ms=0, buffered_ms=0, stalls=0)
    await client.settled()
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
    client = await one.held()
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
    session = one.only_session
    await one.over()
    assert client.of("session_timeout")[0]["reason"] == "opening_message"
    assert client.closed == (1000, "session_timeout")
    assert session.state is SessionState.TIMEOUT


async def test_a_refused_opening_is_told_and_closed_1003(stage) -> None:
    one = stage()
    client = one.open(preset="unknown")
    session = one.only_session
    await one.over()
    assert client.kinds == ["error"]
    assert client.of("error")[0]["code"] == "preset_mismatch"
    assert client.closed == (1003, "invalid_init")
    assert session.state is SessionState.REJECTED


async def test_a_drain_finishes_the_running_segment_and_ends_the_others_at_once(stage, fakes) -> None:
    one = stage()
    one.server.pool._admission.set_slots(3, 0.0)
    busy = await one.held()
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
    client = await one.held()
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
    client = await one.held()
    one.generator.allow(2)
    await client.hears("media_init")
    client.say("segment_cancel")
    await client.settled()
    one.generator.free()
    await client.hears("segment_cancelled")
    one.server.connections.update(one.sessions)
    await drain(one.server, 30.0)
    # The owed sound follows, as the cut left the timeline in order.
    assert client.kinds[-2:] == ["media", "error"]
    assert client.closed == (1001, "shutting_down")


async def test_a_server_that_shuts_down_says_so(stage) -> None:
    one = stage()
    client = await one.held()
    session = one.only_session
    one.server.runners[session.id].shut_down()
    await one.over()
    assert client.of("error")[0]["reason"] == "draining"
    assert client.of("error")[0]["retryable"]
    assert client.closed == (1001, "shutting_down")
    assert session.state is SessionState.COMPLETE


async def dropped(one) -> None:
    """The session is over, and what is stored of it waits for its client."""
    await asyncio.wait_for(one.sessions[0], 20)
    assert len(one.server.session_store) > 0
    assert one.server.left_behind.forget_oldest()
    await one.over()


async def test_a_client_that_stops_reading_is_dropped_and_the_worker_is_free(stage, monkeypatch) -> None:
    monkeypatch.setattr(session_post, "SLOW_READER_S", 0.1)
    monkeypatch.setattr(runner_module, "FAREWELL_S", 0.1)
    one = stage()
    client = await one.held()
    client.reading.clear()
    one.generator.free()
    await dropped(one)
    assert client.closed is None
    assert one.server.metrics.ended.labels("too_slow")._value.get() == 1
    assert len(one.server.sessions) == 0


async def test_a_slow_client_that_still_reads_hears_why_it_is_dropped(stage, fakes, monkeypatch) -> None:
    monkeypatch.setattr(session_post, "SLOW_READER_S", 0.1)
    one = stage()
    client = await one.held()
    client.reading.clear()
    one.generator.free()
    await fakes.until(client.runner._ending.done)
    client.reading.set()
    await dropped(one)
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


async def test_a_fault_of_the_server_is_an_internal_error_and_closes_1011(stage, monkeypatch) -> None:
    one = stage()
    monkeypatch.setattr(one.server.pool, "join", None)
    client = one.open()
    await one.over()
    assert client.of("error")[0] == {
        "type": "error",
        "code": "internal_error",
        "message": "The server met an unexpected error.",
        "retryable": True,
    }
    assert client.closed == (1011, "internal_error")


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


async def test_what_fails_in_a_worker_is_logged_with_its_session(stage) -> None:
    one = stage(generation_segment_cap=1)
    one.generator.failures["bad"] = lambda: ZeroDivisionError()
    told: list[tuple[str, str | None]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append((record.getMessage(), session_of_task.get()))

    keep = Keep()
    logging.getLogger("fastvideo").addHandler(keep)
    try:
        client = one.open()
        client.say("segment_prompt_source", prompt="bad")
        await client.hears("error")
        session_id = client.runner._session.id
        client.say("session_stop")
        await one.over()
    finally:
        logging.getLogger("fastvideo").removeHandler(keep)
    assert ("the generator failed in segment 0", session_id) in told
    assert session_of_task.get() is None
