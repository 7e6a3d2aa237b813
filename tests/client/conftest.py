"""A scripted server to hold the client against, and the real server around the fake generator."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import pytest
from websockets.asyncio.server import ServerConnection, serve

from fastvideo.entrypoints.streaming.mock_server import build_mock_app
from fastvideo.entrypoints.streaming.server import build_server

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
