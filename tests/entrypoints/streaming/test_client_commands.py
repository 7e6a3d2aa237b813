"""What clients ask of a session, and what it then does by itself, with the real pool, worker and encoder."""

import pytest

from fastvideo.api.schema import PacingConfig, RequestLimits


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
    client = await one.held()
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
    await client.settled()
    assert client.kinds == ["queue_status", "gpu_assigned", "ltx2_stream_start", "pong"]
    client.leave()
    await one.over()


async def test_automatic_segments_keep_the_lead_over_the_viewer(stage) -> None:
    one = stage(generation_segment_cap=100, pacing=PacingConfig(lead_seconds=2.5))
    now = [1000.0]
    one.server.clock = lambda: now[0]
    client = one.open(curated_prompts=["a"], loop_generation_enabled=True)
    await client.hears("ltx2_segment_complete", 3)
    await client.settled()
    # Three seconds are sent and the viewer has seen nothing: more than the lead.
    assert len(client.of("ltx2_segment_start")) == 3
    client.say("playback_status", position_ms=600, buffered_ms=3000, stalls=0)
    await client.hears("ltx2_segment_complete", 4)
    await client.settled()
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
    await client.settled()
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
    await client.settled()
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
        await client.settled()
        assert getattr(one.only_session, field)
    client.say("generation_paused_updated", paused=True)
    client.say("seed_prompts_updated", seed_prompts=["s"])
    await client.settled()
    session = one.only_session
    assert session.generation_paused
    assert session.curated_prompts == ["s"]
    assert session.preset_label == "Mine"
    assert session.metadata == {"extra_key": {"kept": 1}}
