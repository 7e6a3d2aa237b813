"""A scripted server to hold the client against, and the real server around the fake generator."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from websockets.asyncio.server import ServerConnection, serve

from fastvideo.api.access_config import ApiKeyConfig, AuthConfig
from fastvideo.api.schema import (
    GenerationRequest,
    GeneratorConfig,
    GpuPoolConfig,
    OpenAIConfig,
    SamplingConfig,
    ServeConfig,
    ServerConfig,
    StreamingConfig,
    WarmupConfig,
)
from fastvideo.entrypoints.access.api_keys import key_digest
from fastvideo.entrypoints.streaming.mock_generator import MockGenerator
from fastvideo.entrypoints.streaming.mock_server import build_mock_app
from fastvideo.entrypoints.streaming.server import build_app, build_server

Script: TypeAlias = Callable[[ServerConnection], Awaitable[None]]
Scripted: TypeAlias = Callable[[Script], AbstractAsyncContextManager[str]]
Live: TypeAlias = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture
def scripted() -> Scripted:
    """Serve one script; gives the address."""

    @asynccontextmanager
    async def run(script: Script) -> AsyncIterator[str]:
        async with serve(script, "127.0.0.1", 0, compression=None) as server:
            yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/stream"

    return run


@pytest.fixture
def live() -> Live:
    """Serve the mock app with some settings; gives the address."""

    @asynccontextmanager
    async def run(**settings: Any) -> AsyncIterator[str]:
        server = build_server(build_mock_app(**settings), host="127.0.0.1", port=0, log_level="warning")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            task = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                async with asyncio.timeout(30):
                    while not server.started:
                        assert not task.done()
                        await asyncio.sleep(0.01)
                yield f"ws://127.0.0.1:{listener.getsockname()[1]}/v1/stream"
            finally:
                server.should_exit = True
                await asyncio.wait_for(task, 30)

    return run


@contextmanager
def serving_all(folder: Path, *, key: str | None = None) -> Iterator[str]:
    """Streams, videos and images of the fake generator, in a thread of their own; gives the server's address."""
    sampling = SamplingConfig(width=64, height=64, num_frames=24, fps=24, num_inference_steps=1)
    auth = AuthConfig(keys=[ApiKeyConfig("viewer", key_digest(key))] if key else [])
    config = ServeConfig(
        generator=GeneratorConfig(model_path="mock:"),
        server=ServerConfig(output_dir=str(folder), auth=auth),
        default_request=GenerationRequest(sampling=sampling),
        streaming=StreamingConfig(
            warmup=WarmupConfig(enabled=False), pool=GpuPoolConfig(sessions_per_worker=16), max_sessions=16
        ),
        openai=OpenAIConfig(listing="everyone"),
    )
    server = build_server(build_app(config, MockGenerator()), host="127.0.0.1", port=0, log_level="warning")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=asyncio.run, args=(server.serve(sockets=[listener]),), name="server")
        thread.start()
        try:
            deadline_s = time.monotonic() + 60
            while not server.started:
                assert thread.is_alive()
                assert time.monotonic() < deadline_s
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(60)


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that asks for no keys, one for all tests."""
    with serving_all(tmp_path_factory.mktemp("served")) as url:
        yield url


@pytest.fixture
def served_with_key(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The address of a server that asks for a key, and the key."""
    key = "fv_a-key-of-the-tests-alone"
    with serving_all(tmp_path / "served", key=key) as url:
        yield url, key
