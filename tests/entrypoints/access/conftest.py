"""A server with access control around the fake generator, on a port of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import websockets

from fastvideo.api.schema import (
    GenerationRequest,
    GeneratorConfig,
    SamplingConfig,
    ServeConfig,
    ServerConfig,
    StreamingConfig,
    WarmupConfig,
)
from fastvideo.entrypoints.streaming.mock_generator import MockGenerator
from fastvideo.entrypoints.streaming.server import build_app, build_server
from fastvideo.entrypoints.streaming.server_state import ServerState


class Served:
    """A server that runs."""

    def __init__(self, port: int, state: ServerState) -> None:
        self.port = port
        self.state = state
        self.url = f"ws://127.0.0.1:{port}/v1/stream"
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False)

    def connect(self, **options: Any) -> Any:
        return websockets.connect(self.url, **{"compression": None, "proxy": None, "max_size": None, **options})

    async def refuses(self, **options: Any) -> tuple[int, dict[str, Any]]:
        """The answer to a handshake that is not accepted: its status, and the error in it."""
        with pytest.raises(websockets.InvalidStatus) as refused:
            await self.connect(**options)
        response = refused.value.response
        error: dict[str, Any] = json.loads(response.body or b"")["error"]
        return response.status_code, error


Serving = Callable[..., contextlib.AbstractAsyncContextManager[Served]]


@contextlib.asynccontextmanager
async def _serving(server: ServerConfig | None = None, **streaming: Any) -> AsyncIterator[Served]:
    sampling = SamplingConfig(width=64, height=64, num_frames=8, fps=8, num_inference_steps=1)
    config = ServeConfig(
        generator=GeneratorConfig(model_path="mock:"),
        server=server or ServerConfig(),
        default_request=GenerationRequest(sampling=sampling),
        streaming=StreamingConfig(**{"warmup": WarmupConfig(enabled=False), "encoder": "libx264", **streaming}),
    )
    app = build_app(config, MockGenerator())
    uvicorn_server = build_server(app, host="127.0.0.1", port=0)
    task = asyncio.create_task(uvicorn_server._serve())
    async with asyncio.timeout(20):
        while not uvicorn_server.started:  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0.005)
    served = Served(uvicorn_server.servers[0].sockets[0].getsockname()[1], app.state.server_state)
    try:
        yield served
    finally:
        await served.http.aclose()
        uvicorn_server.should_exit = True
        await asyncio.wait_for(task, 20)


@pytest.fixture
def serving() -> Serving:
    """Serves with a ``server`` block and fields of the ``streaming`` block, for as long as it is entered."""
    return _serving
