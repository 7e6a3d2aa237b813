"""Sessions that go on from what is stored of them: on another server, or on the same one when their time is over."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from fastvideo.api.schema import PacingConfig, ResumeConfig, StoresConfig
from fastvideo.entrypoints.streaming.session_record import load_record, record_id
from fastvideo.media.movie_fragment import last_sequence, read_fragments


@pytest.fixture
def shared(tmp_path: Path) -> dict[str, Any]:
    """Settings of servers that share their stores."""
    url = f"file:{tmp_path}"
    return {"stores": StoresConfig(sessions=url, blobs=url), "generation_segment_cap": 3}


def fragments_of(client: Any) -> list[bytes]:
    return [item for item in client.stream if isinstance(item, bytes) and last_sequence(item)]


def begin(one: Any, *, prompts: int = 3) -> Any:
    client = one.open()
    for number in range(prompts):
        client.say("segment_prompt_source", prompt=f"p{number}")
    return client


@pytest.fixture
async def uncut(stage: Any, shared: dict[str, Any], fakes: Any) -> list[bytes]:
    one = stage(**shared)
    client = begin(one)
    await fakes.until(lambda: client.closed)
    await asyncio.wait_for(one.sessions[0], 20)
    return fragments_of(client)


async def crash(one: Any, client: Any) -> None:
    """What a server leaves behind that is killed: nothing is told, and nothing tidied up."""
    client.lose()
    one.generator.free()
    one.server.left_behind.add = lambda *rest: None
    for task in one.sessions:
        task.cancel()
    await asyncio.gather(*one.sessions, return_exceptions=True)


async def test_a_session_goes_on_elsewhere_in_the_middle_of_a_segment(
    stage: Any, shared: dict[str, Any], fakes: Any, uncut: list[bytes]
) -> None:
    here, there = stage(**shared), stage(**shared)
    client = begin(here)
    await client.hears("ltx2_segment_complete")
    here.generator.hold()
    # Some media of the second is there, or of the third on a quick machine.
    here.generator.allow(3)
    await client.hears("media_init", 2)
    await crash(here, client)
    again = there.take_over(client)
    greeting = await again.hears("queue_status")
    assert greeting["session_id"] == client.of("queue_status")[0]["session_id"]
    await again.hears("ltx2_segment_complete")
    again.say("segment_prompt_source", prompt="p2")
    await fakes.until(lambda: again.closed)
    assert fragments_of(again) == uncut
    assert [request.prompt for request in there.generator.requests] == ["p1", "p2"]
    # Where somebody begins to watch, an init segment comes first.
    first = next(item for item in again.received if isinstance(item, bytes))
    assert first[4:8] == b"ftyp"


async def test_a_session_goes_on_elsewhere_between_two_segments(
    stage: Any, shared: dict[str, Any], fakes: Any, uncut: list[bytes]
) -> None:
    here, there = stage(**shared), stage(**shared)
    client = begin(here, prompts=1)
    session_id = (await client.hears("queue_status"))["session_id"]
    await client.hears("ltx2_segment_complete")
    await fakes.until(lambda: stored(here, session_id).segment_idx == 1)
    await crash(here, client)
    again = there.take_over(client)
    for number in (1, 2):
        again.say("segment_prompt_source", prompt=f"p{number}")
    await fakes.until(lambda: again.closed)
    assert fragments_of(again) == uncut
    assert there.generator.requests[0].state.payload["segment_index"] == 0
    (media,) = read_fragments(fragments_of(again)[4])
    assert media.sequence == 5
    await fakes.until(lambda: session_id not in there.server.session_store)
    assert record_id(session_id) not in there.server.session_store


def stored(one: Any, session_id: str) -> Any:
    record = load_record(one.server.session_store, session_id)
    assert record is not None
    return record


def pending_of(one: Any, session_id: str) -> Any:
    record = load_record(one.server.session_store, session_id)
    return record.director.pending if record is not None else []


async def test_a_server_whose_session_went_elsewhere_ends_its_copy_and_keeps_off_the_state(
    stage: Any, shared: dict[str, Any], fakes: Any
) -> None:
    here, there = stage(**shared), stage(**shared)
    client = begin(here, prompts=1)
    session_id = (await client.hears("queue_status"))["session_id"]
    await client.hears("ltx2_segment_complete")
    await fakes.until(lambda: stored(here, session_id).segment_idx == 1)
    again = there.take_over(client)
    again.say("segment_prompt_source", prompt="there")
    await again.hears("ltx2_segment_complete")
    client.say("segment_prompt_source", prompt="here")
    await asyncio.wait_for(here.sessions[0], 20)
    assert here.server.metrics.ended.labels("moved")._value.get() == 1
    assert here.server.session_store.snapshot(session_id).payload["segment_index"] == 1
    again.say("session_stop")
    await fakes.until(lambda: again.closed)


async def test_after_its_time_a_session_goes_on_from_what_is_stored_also_in_memory(stage: Any, fakes: Any) -> None:
    one = stage(generation_segment_cap=2, resume=ResumeConfig(grace_seconds=0.01))
    client = begin(one, prompts=1)
    session_id = (await client.hears("queue_status"))["session_id"]
    await client.hears("ltx2_segment_complete")
    await fakes.until(lambda: stored(one, session_id).segment_idx == 1)
    client.lose()
    await asyncio.wait_for(one.sessions[0], 20)
    assert session_id in one.server.session_store
    again = one.take_over(client)
    again.say("segment_prompt_source", prompt="p1")
    await fakes.until(lambda: again.closed)
    assert again.closed == (1000, "segment_cap")
    numbers = [last_sequence(item) for item in fragments_of(again)]
    assert numbers == list(range(1, len(numbers) + 1))
    await fakes.until(lambda: len(one.server.session_store) == 0)


async def test_only_the_token_opens_what_is_stored(stage: Any, shared: dict[str, Any], fakes: Any) -> None:
    here, there = stage(**shared), stage(**shared)
    client = begin(here, prompts=1)
    session_id = (await client.hears("queue_status"))["session_id"]
    await client.hears("ltx2_segment_complete")
    for token in (f"{session_id}.guessed", session_id, "", f"{session_id}:session.x"):
        again = there.take_over(client, resume_token=token)
        await fakes.until(lambda: again.closed)  # noqa: B023
        assert again.closed == (1003, "resume_unknown")
    token = client.of("queue_status")[0]["resume_token"]
    assert not holds(shared["stores"].sessions.removeprefix("file:"), token.partition(".")[2].encode())


def holds(folder: str, secret: bytes) -> bool:
    return any(secret in path.read_bytes() for path in Path(folder).rglob("*") if path.is_file())


async def test_what_was_seen_elsewhere_is_no_lead_of_a_session_that_goes_on_by_itself(
    stage: Any, shared: dict[str, Any], fakes: Any
) -> None:
    settings = shared | {"pacing": PacingConfig(lead_seconds=0.0)}
    here, there = stage(**settings), stage(**settings)
    client = here.open(auto_extension_enabled=True)
    session_id = (await client.hears("queue_status"))["session_id"]
    client.say("segment_prompt_source", prompt="p0")
    await client.hears("ltx2_segment_complete")
    # A slow machine may make one more here.
    await fakes.until(lambda: stored(here, session_id).segment_idx >= 1)
    await crash(here, client)
    again = there.take_over(client)
    made = await again.hears("media_segment_complete")
    # It would wait for as long as all that took to play.
    viewer = there.server.runners[session_id]._opened.opening.director.viewer
    assert viewer.ahead_ms(there.server.clock()) <= made["duration_ms"]


async def test_prompts_that_another_server_took_are_made_once(
    stage: Any, shared: dict[str, Any], fakes: Any, uncut: list[bytes]
) -> None:
    here, there = stage(**shared), stage(**shared)
    client = here.open()
    session_id = (await client.hears("queue_status"))["session_id"]
    here.generator.hold()
    client.say("segment_prompt_source", prompt="p0", request_id="0")
    await client.hears("ltx2_segment_start")
    client.say("segment_prompt_source", prompt="p1", request_id="1")
    await client.hears("prompt_status", 3)
    # Nobody has written down the second one yet: what the client was told of it is worth nothing now.
    assert [prompt.text for prompt in stored(here, session_id).director.pending] == []
    await crash(here, client)
    again = there.take_over(client)
    for number in range(3):
        again.say("segment_prompt_source", prompt=f"p{number}", request_id=str(number))
    await fakes.until(lambda: again.closed)
    assert fragments_of(again) == uncut
    assert [request.prompt for request in there.generator.requests] == ["p0", "p1", "p2"]


async def test_what_a_client_wishes_between_segments_is_known_elsewhere(
    stage: Any, shared: dict[str, Any], fakes: Any
) -> None:
    here, there = stage(**shared), stage(**shared)
    client = here.open()
    session_id = (await client.hears("queue_status"))["session_id"]
    client.say("generation_paused_updated", paused=True)
    client.say("segment_prompt_source", prompt="p0", request_id="0")
    await fakes.until(lambda: len(pending_of(here, session_id)) == 1)
    await crash(here, client)
    again = there.take_over(client)
    again.say("segment_prompt_source", prompt="p0", request_id="0")
    again.say("ping", id="later")
    await again.hears("pong")
    assert again.of("ltx2_segment_start") == []
    again.say("generation_paused_updated", paused=False)
    again.say("session_stop")
    await fakes.until(lambda: again.closed)
    assert len(there.generator.requests) <= 1


async def test_a_place_beyond_what_is_stored_is_refused(stage: Any, shared: dict[str, Any], fakes: Any) -> None:
    here, there = stage(**shared), stage(**shared)
    client = begin(here, prompts=1)
    session_id = (await client.hears("queue_status"))["session_id"]
    await client.hears("ltx2_segment_complete")
    await fakes.until(lambda: stored(here, session_id).segment_idx == 1)
    again = there.take_over(client, last_sequence=99)
    await fakes.until(lambda: again.closed)
    assert again.closed == (1003, "resume_expired")
    assert again.of("error")[0]["reason"] == "resume_expired"


async def test_a_full_store_forgets_sessions_that_were_left_behind(stage: Any, fakes: Any) -> None:
    one = stage(resume=ResumeConfig(grace_seconds=0.01))
    client = begin(one, prompts=1)
    await client.hears("ltx2_segment_complete")
    client.lose()
    await asyncio.wait_for(one.sessions[0], 20)
    # Room for what is there and nothing more.
    one.server.session_store._max_entries = len(one.server.session_store)
    other = begin(one, prompts=1)
    await other.hears("ltx2_segment_complete")
    assert other.of("error") == []


async def test_a_client_that_comes_while_its_session_is_being_put_away_goes_on_from_there(
    stage: Any, fakes: Any
) -> None:
    one = stage(generation_segment_cap=2, resume=ResumeConfig(grace_seconds=0.01))
    client = begin(one, prompts=1)
    session_id = (await client.hears("queue_status"))["session_id"]
    await client.hears("ltx2_segment_complete")
    await fakes.until(lambda: stored(one, session_id).segment_idx == 1)
    being_put_away, go_on = threading.Event(), threading.Event()

    def tidy() -> None:
        being_put_away.set()
        assert go_on.wait(20)

    one.server.left_behind.tidy = tidy
    client.lose()
    await fakes.until(being_put_away.is_set)
    again = one.take_over(client)
    for _ in range(20):
        # It was asked for, and neither granted nor refused.
        await asyncio.sleep(0)
        assert again.received == []
    go_on.set()
    await again.hears("queue_status")
    again.say("segment_prompt_source", prompt="p1")
    await fakes.until(lambda: again.closed)
    assert again.closed == (1000, "segment_cap")


async def test_a_client_of_a_session_that_has_just_ended_is_told_so(stage: Any, fakes: Any) -> None:
    one = stage(generation_segment_cap=1)
    client = begin(one, prompts=1)
    await fakes.until(lambda: client.closed)
    again = one.take_over(client)
    await fakes.until(lambda: again.closed)
    # While its books are closed it is over, and afterwards nothing is known of it.
    assert again.closed in ((1003, "resume_expired"), (1003, "resume_unknown"))
    assert again.of("error")[0]["reason"] == again.closed[1]
