"""The Python client over links that break, against the real server, and sent away by a scripted one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from benchmarks.cutting_proxy import CuttingProxy
from benchmarks.resume_cuts import cut_at_random, faults
from fastvideo.client import StreamClient, StreamClosed
from fastvideo.entrypoints.streaming.protocol import (
    ErrorMessage,
    Ltx2StreamComplete,
    Ltx2StreamStart,
    QueueStatus,
    ServerMessage,
    encode_server_message,
)

pytestmark = pytest.mark.timeout(120)


async def test_a_link_that_is_cut_at_random_bytes_gives_the_uncut_stream() -> None:
    whole, cut = await cut_at_random(sessions=2, cuts_each=4)
    assert faults(whole, cut) == []
    assert sum(len(each.pauses_ms) for each in cut) >= 4


async def test_prompts_and_questions_that_a_cut_swallowed_are_asked_again(live) -> None:
    async with live(width=64, height=64) as url:
        port = int(url.split(":")[2].split("/")[0])
        async with CuttingProxy(port) as proxy, await StreamClient.connect(proxy.url) as client:
            await client.started()
            await proxy.cut()
            segment, _ = await asyncio.gather(client.segment("a red circle"), client.ping())
            assert segment.complete is not None
            assert client.resumed == 1
            await proxy.cut()
            ending = await client.stop()
            assert ending.reason == "stop_requested"


async def test_a_session_that_is_gone_ends_the_stream_with_the_servers_reason(live) -> None:
    async with live(width=64, height=64) as url:
        port = int(url.split(":")[2].split("/")[0])
        async with CuttingProxy(port) as proxy, await StreamClient.connect(proxy.url) as client:
            await client.started()
            client.protocol.resume_token = "unknown." + "x" * 43
            await proxy.cut()
            with pytest.raises(StreamClosed) as caught:
                await client.ping()
            assert isinstance(caught.value.error, ErrorMessage)
            assert caught.value.error.reason == "resume_unknown"
            assert client.close_code == 1003


async def test_a_client_that_shall_not_come_back_does_not(live) -> None:
    async with live(width=64, height=64) as url:
        port = int(url.split(":")[2].split("/")[0])
        async with CuttingProxy(port) as proxy, await StreamClient.connect(proxy.url, resume=False) as client:
            await client.started()
            await proxy.cut()
            with pytest.raises(StreamClosed):
                await client.ping()
            assert client.resumed == 0


# --- closed by the server

GREETING = QueueStatus(position=0, queue_depth=0, session_id="s", resume_token="s.secret", resume_grace_seconds=30.0)
START = Ltx2StreamStart(width=64, height=32, fps=24, num_frames=9)
BYE = ErrorMessage(code="gpu_unavailable", message="bye", retryable=True, reason="draining")
LATER = ErrorMessage(code="gpu_unavailable", message="later", retryable=True, retry_after=0.01)

Scripted = Callable[[Callable[[ServerConnection], Any]], AbstractAsyncContextManager[str]]


class Acts:
    """A server that does with each connection what the next act says: messages, then a close with the code."""

    def __init__(self, *acts: tuple[list[ServerMessage], int]) -> None:
        self._acts = list(acts)
        self.openings: list[dict[str, Any]] = []

    async def __call__(self, connection: ServerConnection) -> None:
        self.openings.append(json.loads(await connection.recv()))
        messages, code = self._acts.pop(0)
        for message in messages:
            await connection.send(encode_server_message(message))
        await connection.close(code)


OVER: tuple[list[ServerMessage], int] = ([GREETING, Ltx2StreamComplete(reason="stop_requested")], 1000)


@pytest.mark.parametrize("code", [1001, 1011, 1012, 1013])
async def test_a_client_that_is_sent_away_goes_on_where_it_was(scripted: Scripted, code: int) -> None:
    acts = Acts(([GREETING, START, BYE], code), ([LATER], 1013), OVER)
    async with scripted(acts) as url, await StreamClient.connect(url) as client:
        kinds = [event.type async for event in client]  # type: ignore[union-attr]  # there is no media
        assert kinds == ["queue_status", "ltx2_stream_start", "error", "ltx2_stream_complete"]
        assert (client.resumed, client.close_code) == (1, 1000)
    assert [opening["type"] for opening in acts.openings] == ["session_init_v2", "session_resume", "session_resume"]
    place = {"resume_token": "s.secret", "last_sequence": 0, "frames_after": 3}
    assert acts.openings[2] == {"type": "session_resume", **place}


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([GREETING, BYE], 1001),  # It never was active.
        ([GREETING, START, ErrorMessage(code="session_rejected", message="no")], 1013),
        ([GREETING, START, LATER.model_copy(update={"retry_after": 3600.0})], 1013),
        ([GREETING, START, Ltx2StreamComplete(reason="error")], 1011),
        ([GREETING, START], 1008),
    ],
)
async def test_a_client_that_cannot_go_on_is_told_at_once(
    scripted: Scripted, messages: list[ServerMessage], code: int
) -> None:
    acts = Acts((messages, code))
    async with scripted(acts) as url, await StreamClient.connect(url) as client:
        async for _ in client:
            pass
        assert (client.resumed, client.close_code) == (0, code)


async def test_a_session_that_nobody_knows_any_more_ends_as_the_server_said_that_sent_the_client_away(
    scripted: Scripted,
) -> None:
    unknown = ErrorMessage(code="session_rejected", message="?", reason="resume_unknown")
    acts = Acts(([GREETING, START, BYE], 1001), ([unknown], 1003))
    async with scripted(acts) as url, await StreamClient.connect(url) as client:
        await client.started()
        with pytest.raises(StreamClosed) as caught:
            await client.ping()
        assert (caught.value.close_code, caught.value.error) == (1001, BYE)
