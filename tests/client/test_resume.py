"""The Python client over links that break, against the real server."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.cutting_proxy import CuttingProxy
from benchmarks.resume_cuts import cut_at_random, faults
from fastvideo.client import StreamClient, StreamClosed
from fastvideo.entrypoints.streaming.protocol import ErrorMessage

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
