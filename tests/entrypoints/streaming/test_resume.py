"""Sessions whose client loses its connection and comes back, with the real runner, pool and encoder."""

from __future__ import annotations

import asyncio
import functools
import json
from typing import Any

import pytest

from fastvideo.api.schema import ResumeConfig
from fastvideo.entrypoints.streaming import session_post
from fastvideo.entrypoints.streaming.attachment import GraceOver
from fastvideo.entrypoints.streaming.drain import drain
from fastvideo.entrypoints.streaming.frame_log import NotKept
from fastvideo.entrypoints.streaming.outbox import Outbox
from fastvideo.media.movie_fragment import last_sequence


def open_one(stage: Any, *, prompts: int = 2, breaks_after: int | None = None, **streaming: Any) -> tuple[Any, Any]:
    """A session that makes some segments and ends at its cap."""
    one = stage(generation_segment_cap=prompts, **streaming)
    client = one.connect()
    client.breaks_after = breaks_after
    client.say("session_init_v2")
    for number in range(prompts):
        client.say("segment_prompt_source", prompt=f"p{number}", request_id=f"r{number}")
    return one, client


def media_of(client: Any) -> list[bytes]:
    return [item for item in client.stream if isinstance(item, bytes)]


def messages_of(client: Any) -> list[dict[str, Any]]:
    """What the client was told, without what differs from session to session."""
    variable = ("session_id", "resume_token", "stream_id", "e2e_latency_ms", "generation_time_ms", "timings")
    return [
        {key: value for key, value in item.items() if key not in variable}
        for item in client.stream
        if isinstance(item, dict)
    ]


@pytest.fixture
async def uncut(stage: Any) -> Any:
    one, client = open_one(stage)
    await one.over()
    return client


# --- nothing lost, nothing twice


@pytest.mark.parametrize("step", [1, 2, 5])
async def test_a_connection_that_breaks_again_and_again_costs_nothing(
    stage: Any, fakes: Any, uncut: Any, step: int
) -> None:
    one, client = open_one(stage, breaks_after=step)
    for _ in range(100):
        await fakes.until(lambda: client.broken.is_set() or client.closed)  # noqa: B023
        if client.closed:
            break
        client = one.come_back(client, breaks_after=step + 1)
    assert client.closed == (1000, "segment_cap")
    assert media_of(client) == media_of(uncut)
    assert messages_of(client) == messages_of(uncut)
    await one.over()


async def test_the_token_comes_with_each_connections_first_message_and_in_no_log(stage: Any, tmp_path: Any) -> None:
    one, client = open_one(stage, session_log_dir=str(tmp_path), breaks_after=4)
    (first,) = client.of("queue_status") or [await client.hears("queue_status")]
    assert first["resume_grace_seconds"] == 30.0
    assert first["resume_token"].startswith(first["session_id"] + ".")
    await client.broken.wait()
    again = one.come_back(client)
    second = await again.hears("queue_status")
    assert again.received[0] == second
    assert second["resume_token"] == first["resume_token"]
    await one.over()
    (log,) = tmp_path.iterdir()
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert {"detached", "resumed"} < set(events)
    assert first["resume_token"].partition(".")[2] not in log.read_text()


async def test_without_a_grace_time_there_is_no_token_and_a_loss_is_the_end(stage: Any) -> None:
    one, client = open_one(stage, resume=ResumeConfig(grace_seconds=0))
    first = await client.hears("queue_status")
    assert "resume_token" not in first
    client.lose()
    await one.over()
    assert one.server.metrics.ended.labels("client_left")._value.get() == 1


async def test_a_client_may_repeat_prompts_that_it_does_not_know_to_be_heard(stage: Any) -> None:
    one, client = open_one(stage, prompts=3)
    one.generator.hold()
    await client.hears("prompt_status", 3)
    client.lose()
    again = one.come_back(client)
    for number in (1, 2):
        again.say("segment_prompt_source", prompt=f"p{number}", request_id=f"r{number}")
    again.say("ping", id=1)
    await again.hears("pong")
    one.generator.free()
    await one.over()
    assert [request.prompt for request in one.generator.requests] == ["p0", "p1", "p2"]


@pytest.mark.parametrize("place", [{"last_sequence": 99}, {"frames_after": 500}])
async def test_a_place_where_nobody_ever_was_is_refused_and_the_session_waits_on(stage: Any, place: Any) -> None:
    one, client = open_one(stage)
    one.generator.hold()
    await client.hears("ltx2_segment_start")
    client.lose()
    one.come_back(client, **place)
    with pytest.raises(NotKept):
        await one.returns[-1]
    again = one.come_back(client)
    one.generator.free()
    await one.over()
    assert again.closed == (1000, "segment_cap")


async def test_a_client_that_comes_back_before_its_loss_is_noticed_is_served_at_once(stage: Any, uncut: Any) -> None:
    one, client = open_one(stage)
    await client.hears("media_init")
    # Nothing of it arrives any more, and the server does not know.
    client.reading.clear()
    again = one.come_back(client)
    await one.over()
    assert media_of(again) == media_of(uncut)
    assert again.closed == (1000, "segment_cap")


async def test_the_last_words_are_waited_for_as_well(stage: Any, uncut: Any) -> None:
    one, client = open_one(stage, breaks_after=len(uncut.received) - 1)
    await client.broken.wait()
    await asyncio.sleep(0)
    assert not one.sessions[0].done()
    again = one.come_back(client)
    await one.over()
    assert again.closed == (1000, "segment_cap")
    assert messages_of(again) == messages_of(uncut)
    assert media_of(again) == media_of(uncut)


# --- who may use the worker meanwhile


async def test_the_running_segment_goes_on_while_nobody_waits_and_no_other_begins(stage: Any, fakes: Any) -> None:
    one, client = open_one(stage)
    one.generator.hold()
    await client.hears("ltx2_segment_start")
    client.lose()
    await fakes.until(lambda: one.server.sessions.parked == 1)
    one.generator.free()
    await fakes.until(lambda: ("done", "p0") in one.generator.trace)
    await fakes.until(lambda: one.server.pool.health().active_sessions == 0)
    assert len(one.generator.requests) == 1
    again = one.come_back(client)
    await one.over()
    assert [request.prompt for request in one.generator.requests] == ["p0", "p1"]
    assert again.closed == (1000, "segment_cap")


@pytest.mark.parametrize("places", [1, 2], ids=["for a place", "for a turn"])
async def test_a_segment_without_a_viewer_makes_way_within_a_step_and_is_made_again(
    stage: Any, fakes: Any, uncut: Any, places: int
) -> None:
    one, client = open_one(stage)
    one.server.pool._admission.set_slots(places, 0.0)
    one.generator.hold()
    one.generator.allow(3)
    # Two steps and some media are made.
    await client.hears("media_init")
    client.lose()
    await fakes.until(lambda: one.server.sessions.parked == 1)
    other = one.open()
    other.say("segment_prompt_source", prompt="other")
    await fakes.until(lambda: one.generator.token.cancelled)
    one.generator.allow(1)
    await fakes.until(lambda: ("cancelled", "p0") in one.generator.trace)
    one.generator.free()
    await other.hears("ltx2_segment_complete")
    other.say("session_stop")
    await one.over(1)
    again = one.come_back(client)
    await one.over(0)
    assert [request.prompt for request in one.generator.requests] == ["p0", "other", "p0", "p1"]
    assert media_of(again) == media_of(uncut)
    assert messages_of(again) == messages_of(uncut)


async def test_what_does_not_fit_is_made_again(stage: Any, fakes: Any, uncut: Any, monkeypatch: Any) -> None:
    small = functools.partial(Outbox, max_held_bytes=len(b"".join(media_of(uncut))) // 4)
    monkeypatch.setattr(session_post, "Outbox", lambda kept_bytes: small(kept_bytes=kept_bytes))
    one, client = open_one(stage)
    one.generator.hold()
    await client.hears("ltx2_segment_start")
    client.lose()
    await fakes.until(lambda: one.server.sessions.parked == 1)
    one.generator.free()
    # The generator may be done before anybody finds that there is no room for what it made.
    await fakes.until(lambda: {("cancelled", "p0"), ("done", "p0")} & set(one.generator.trace))
    await fakes.until(lambda: one.server.pool.health().active_sessions == 0)
    again = one.come_back(client)
    await one.over()
    assert [request.prompt for request in one.generator.requests] == ["p0", "p0", "p1"]
    assert media_of(again) == media_of(uncut)


async def test_a_cancel_after_coming_back_cuts_the_segment_where_the_client_is(stage: Any, fakes: Any) -> None:
    one, client = open_one(stage)
    one.server.pool._admission.set_slots(1, 0.0)
    one.generator.hold()
    one.generator.allow(3)
    await client.hears("media_init")
    client.lose()
    await fakes.until(lambda: one.server.sessions.parked == 1)
    other = one.open()
    await fakes.until(lambda: one.generator.token.cancelled)
    one.generator.free()
    await other.hears("ltx2_stream_start")
    other.say("session_stop")
    await one.over(1)
    again = one.come_back(client)
    again.say("segment_cancel")
    await again.hears("ltx2_segment_complete")
    again.say("session_stop")
    await one.over(0)
    assert again.closed == (1000, "stop_requested")
    # What was sent of the first stays, and the second follows it.
    assert len(again.of("segment_cancelled")) == 1
    numbers = [last_sequence(item) for item in media_of(again)]
    assert [number for number in numbers if number] == list(range(1, max(number or 0 for number in numbers) + 1))


# --- how long, and how many


async def test_a_client_that_does_not_come_back_in_time_is_given_up(stage: Any, fakes: Any) -> None:
    one, client = open_one(stage)
    one.generator.hold()
    await client.hears("ltx2_segment_start")
    client.lose()
    await fakes.until(lambda: one.server.sessions.parked == 1)
    now_s = one.server.clock()
    one.server.clock = lambda: now_s + 31.0
    one.generator.free()
    await asyncio.wait_for(one.sessions[0], 20)
    assert one.server.pool.health().active_sessions == 0
    assert one.server.metrics.ended.labels("client_lost")._value.get() == 1
    assert one.server.expired.get(client.of("queue_status")[0]["session_id"]) == client.runner.resume_digest
    one.come_back(client)
    with pytest.raises(GraceOver):
        await one.returns[-1]


async def test_sessions_without_a_client_take_no_place_and_get_one_when_it_is_back(stage: Any, fakes: Any) -> None:
    one, client = open_one(stage, max_sessions=1)
    one.generator.hold()
    await client.hears("ltx2_segment_start")
    client.lose()
    await fakes.until(lambda: len(one.server.sessions) == 0)
    second = one.open()
    await second.hears("queue_status")
    again = one.come_back(client)
    await again.hears("queue_status")
    assert len(one.server.sessions) == 2
    one.generator.free()
    second.say("session_stop")
    await asyncio.gather(*one.sessions)


async def test_no_more_sessions_wait_for_clients_than_may_live_at_once(stage: Any, fakes: Any) -> None:
    one = stage(max_sessions=1)
    clients = []
    for _ in range(2):
        clients.append(one.open())
        await clients[-1].hears("ltx2_stream_start")
        clients[-1].lose()
        await fakes.until(lambda: len(one.server.sessions) == 0)
    await asyncio.wait_for(one.sessions[0], 20)
    assert one.server.sessions.parked == 1
    again = one.come_back(clients[1])
    await again.hears("queue_status")


async def test_a_drain_waits_for_no_client(stage: Any, fakes: Any) -> None:
    one, client = open_one(stage)
    one.generator.hold()
    await client.hears("ltx2_segment_start")
    client.lose()
    await fakes.until(lambda: one.server.sessions.parked == 1)
    one.server.session_tasks.update(one.sessions)
    await drain(one.server, 20.0)
    assert one.sessions[0].done()
    one.generator.free()
