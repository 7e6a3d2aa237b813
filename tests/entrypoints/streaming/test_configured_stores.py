"""The stores of `streaming.stores`, as a server that is started from a config file uses them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.cutting_proxy import CuttingProxy
from benchmarks.redis_server import RedisServer
from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.schema import StoresConfig
from fastvideo.client import StreamClient
from fastvideo.client.stream_protocol import MediaFragment
from fastvideo.entrypoints.streaming.file_blobs import FileBlobStore
from fastvideo.entrypoints.streaming.file_sessions import FileSessionStore
from fastvideo.entrypoints.streaming.protocol import (
    ErrorMessage,
    Ltx2SegmentComplete,
    Ltx2SegmentStart,
    MediaSegmentComplete,
)
from fastvideo.entrypoints.streaming.server import build_app
from fastvideo.entrypoints.streaming.session_store import InMemorySessionStore
from fastvideo.entrypoints.streaming.store_errors import StoreUnavailable
from fastvideo.entrypoints.streaming.store_urls import open_sessions

CONFIG = Path(__file__).parents[3] / "configs" / "serve_mock.yaml"


@contextlib.asynccontextmanager
async def serving(url: str, *overrides: str) -> AsyncIterator[str]:
    """`fastvideo serve` with a small fake model and both stores at `url`; gives the stream's address."""
    async with started(url, *overrides) as (address, process):
        yield address
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0


@contextlib.asynccontextmanager
async def started(url: str, *overrides: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """:func:`serving` that ends as a crash does, with its process."""
    sampling = ("width", "64", "height", "64", "num_frames", "17", "num_inference_steps", "2")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fastvideo.entrypoints.cli.main", "serve", "--config", str(CONFIG)),
        *("--server.port", "0", "--generator.model_path", "mock:"),
        *("--streaming.stores.sessions", url, "--streaming.stores.blobs", url, *overrides),
        *(text if i % 2 else f"--default_request.sampling.{text}" for i, text in enumerate(sampling)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        found = re.search(rb"http://(\S+)", line)
        assert found, f"the server did not start: {line!r}"
        logged = asyncio.create_task(process.stdout.read())
        yield f"ws://{found[1].decode()}/v1/stream", process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    await logged


async def test_a_served_sessions_state_lies_in_the_folder_and_is_gone_after_it(fakes, tmp_path: Path) -> None:
    states = open_sessions(f"file:{tmp_path}")
    async with serving(f"file:{tmp_path}") as url:
        async with await StreamClient.connect(url) as client:
            await client.segment("a red circle")
            session_id = client.protocol.session_id
            assert session_id is not None
            stored = states.snapshot(session_id)
            assert stored is not None
            assert stored.payload["segment_index"] == 0
            await client.segment("a blue square")
            stored = states.snapshot(session_id)
            assert stored is not None
            assert stored.payload["segment_index"] == 1
            await client.stop()
        await fakes.until(lambda: session_id not in states)
    assert list((tmp_path / "blobs").glob("*.blob")) == []


async def test_a_server_that_is_killed_costs_a_viewer_no_fragment(tmp_path: Path) -> None:
    url, slow = f"file:{tmp_path}", ("--generator.model_path", "mock:?sleep_ms=800")

    async def watch(client: StreamClient, before_second: Callable[[], None] = lambda: None) -> list[bytes]:
        for prompt in ("a red circle", "a blue square"):
            await client.prompt(prompt)
        fragments: list[bytes] = []
        async for event in client:
            if isinstance(event, MediaFragment):
                fragments.append(event.data)
            if isinstance(event, Ltx2SegmentStart) and event.segment_idx == 1 and client.resumed == 0:
                before_second()
            if isinstance(event, Ltx2SegmentComplete) and event.segment_idx == 1:
                return fragments
        raise AssertionError("the stream ended early")

    async with started(url, *slow) as (here, process), serving(url, *slow) as there:
        async with await StreamClient.connect(there) as client:
            whole = await watch(client)
        ports = [int(address.split(":")[2].partition("/")[0]) for address in (here, there)]
        async with CuttingProxy(ports[0]) as proxy, await StreamClient.connect(proxy.url) as client:

            def kill() -> None:
                proxy.port = ports[1]
                process.kill()

            assert await watch(client, kill) == whole
            assert client.resumed == 1
            await client.stop()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


async def test_a_redis_that_is_restarted_empty_interrupts_no_stream(fakes, own_redis: RedisServer) -> None:
    async with serving(own_redis.url) as url:
        async with await StreamClient.connect(url) as client:
            await client.segment("a red circle")
            own_redis.stop()
            await client.prompt("a blue square")
            async for event in client:
                assert not isinstance(event, ErrorMessage)
                if isinstance(event, MediaSegmentComplete):
                    # All that is left to do is to store the state.
                    own_redis.start()
                if isinstance(event, Ltx2SegmentComplete):
                    break
            third = await client.segment("a green triangle")
            assert third.complete is not None
            assert third.complete.segment_idx == 2
            session_id = client.protocol.session_id
            await client.stop()
        states = open_sessions(own_redis.url)
        try:
            await fakes.until(lambda: session_id not in states)
        finally:
            states.close()


def test_the_configured_stores_are_the_servers(fakes, tmp_path: Path) -> None:
    url = f"file:{tmp_path}"
    server = build_app(
        fakes.config(stores=StoresConfig(sessions=url, blobs=url)), fakes.StepGenerator()
    ).state.server_state
    assert isinstance(server.session_store, FileSessionStore)
    assert isinstance(server.blob_store, FileBlobStore)
    assert server.pool.session_store is server.session_store


def test_a_time_to_live_that_sessions_would_outlive_is_longer(fakes) -> None:
    for ttl_s, expected_s in ((100.0, 600.0), (5000.0, 5000.0)):
        config = fakes.config(session_timeout_seconds=300, stores=StoresConfig(ttl_seconds=ttl_s))
        server = build_app(config, fakes.StepGenerator()).state.server_state
        assert server.session_store._ttl_s == server.blob_store._ttl_s == expected_s


def test_a_session_store_is_either_passed_or_configured(fakes, tmp_path: Path) -> None:
    config = fakes.config(stores=StoresConfig(sessions=f"file:{tmp_path}"))
    with pytest.raises(ConfigValidationError, match="choose one of them"):
        build_app(config, fakes.StepGenerator(), session_store=InMemorySessionStore())


def test_a_store_that_cannot_be_used_is_found_before_a_server_runs(fakes, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    config = fakes.config(stores=StoresConfig(blobs=f"file:{tmp_path}/file"))
    with pytest.raises(StoreUnavailable, match="expected"):
        build_app(config, fakes.StepGenerator())
