"""Small replicas that speak the protocol, and routers in front of them, in the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from fastvideo.entrypoints.streaming.router.config import ReplicaEndpoint, RouterConfig
from fastvideo.entrypoints.streaming.router.main import build_router_app
from fastvideo.entrypoints.streaming.router.process import RouterServer, build_server
from fastvideo.entrypoints.streaming.router.state import RouterState

INIT = json.dumps({"type": "session_init_v2"})


class FakeReplica:
    """A server with the documented handshake, which then echoes text, and does what a test tells it.

    ``ready``, ``alive``: what its health routes say. ``full``: it refuses sessions as a server does. ``openings``: the
    first messages that came. ``handshakes``: the upgrade requests. ``closes``: how clients left.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready = True
        self.alive = True
        self.full = False
        self.refusal: dict[str, Any] | None = None
        self.upgrade_status: int | None = None
        self.subprotocol: str | None = None
        self.script: Callable[[FakeReplica, ServerConnection], Awaitable[None]] = FakeReplica.session
        self.pages: dict[str, str] = {}
        self.requests: list[Request] = []
        self.handshakes: list[Request] = []
        self.openings: list[dict[str, Any]] = []
        self.said: list[str | bytes] = []
        self.closes: list[tuple[int, str]] = []
        self.connections: list[ServerConnection] = []
        self.tls: ssl.SSLContext | None = None
        self._server: Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"{'http' if self.tls is None else 'https'}://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self.port,
            ssl=self.tls,
            compression=None,
            max_size=None,
            ping_interval=None,
            process_request=self._request,
            select_subprotocol=lambda connection, offered: self.subprotocol,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            server.close()
            await server.wait_closed()

    def stop_listening(self) -> None:
        """Connections stay, and no more are taken."""
        assert self._server is not None
        self._server.close(close_connections=False)

    async def die(self) -> None:
        """As a process does that is killed: every connection is cut, and nobody listens."""
        assert self._server is not None
        server, self._server = self._server, None
        server.close(close_connections=False)
        for connection in self.connections:
            connection.transport.abort()
        await server.wait_closed()

    def _request(self, connection: ServerConnection, request: Request) -> Response | None:
        path = request.path.partition("?")[0]
        if path == "/v1/stream":
            self.handshakes.append(request)
            if self.upgrade_status is not None:
                return connection.respond(http.HTTPStatus(self.upgrade_status), "no\n")
            return None
        if path == "/health":
            return connection.respond(http.HTTPStatus(200 if self.alive else 500), "{}")
        if path == "/readyz":
            return connection.respond(http.HTTPStatus(200 if self.ready else 503), "{}")
        self.requests.append(request)
        if path in self.pages:
            return connection.respond(http.HTTPStatus.OK, self.pages[path])
        return connection.respond(http.HTTPStatus.NOT_FOUND, "nothing here\n")

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        with contextlib.suppress(websockets.ConnectionClosed):
            await self.script(self, connection)
        await connection.wait_closed()
        self.closes.append((connection.close_code or 0, connection.close_reason or ""))

    async def session(self, connection: ServerConnection) -> None:
        if self.full:
            await self.say(connection, "error", code="session_rejected", message="max sessions reached (1)")
            await connection.close(1013, "session_rejected")
            return
        opening = json.loads(await connection.recv())
        self.openings.append(opening)
        if self.refusal is not None:
            await self.say(connection, "error", **self.refusal)
            await connection.close(1013, "refused")
            return
        index = len(self.openings)
        await self.say(
            connection,
            "queue_status",
            position=0,
            queue_depth=0,
            session_id=f"session-{self.name}-{index}",
            resume_token=f"token-{self.name}-{index}",
        )
        await self.say(connection, "gpu_assigned", gpu_id=0, session_timeout=300, model_id=self.name)
        await self.say(connection, "ltx2_stream_start", width=64, height=64, fps=8, num_frames=8)
        async for frame in connection:
            self.said.append(frame)
            if isinstance(frame, str) and '"test_close"' in frame:
                order = json.loads(frame)
                await connection.close(order["code"], order["reason"])
                return
            await connection.send(frame)

    @staticmethod
    async def say(connection: ServerConnection, kind: str, **fields: Any) -> None:
        await connection.send(json.dumps({"type": kind, **fields}))


class Routed:
    """A running router: its address, its parts, and the server around them."""

    def __init__(self, port: int, state: RouterState, server: RouterServer) -> None:
        self.server = server
        secure = "s" if state.config.tls is not None else ""
        self.url = f"http{secure}://127.0.0.1:{port}"
        self.stream = f"ws{secure}://127.0.0.1:{port}/v1/stream"
        self.state = state

    @asynccontextmanager
    async def client(self, *, opening: str | None = INIT, **options: Any) -> AsyncIterator[ClientConnection]:
        async with websockets.connect(self.stream, max_size=None, compression=None, proxy=None, **options) as client:
            if opening is not None:
                await client.send(opening)
            yield client

    def metric(self, name: str, **labels: str) -> float:
        for family in self.state.metrics._registry.collect():
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return float(sample.value)
        return 0.0


async def heard(client: ClientConnection) -> dict[str, Any]:
    """The next text message."""
    async with asyncio.timeout(20):
        frame = await client.recv()
    assert isinstance(frame, str)
    message: dict[str, Any] = json.loads(frame)
    return message


async def started(client: ClientConnection) -> dict[str, Any]:
    """The three messages of the documented handshake; gives the second, which names the replica."""
    kinds = [await heard(client) for _ in range(3)]
    assert [message["type"] for message in kinds] == ["queue_status", "gpu_assigned", "ltx2_stream_start"]
    return kinds[1]


async def last_words(client: ClientConnection) -> tuple[dict[str, Any] | None, int | None, str | None]:
    """The last text message before the close, its code and its reason."""
    message = None
    async with asyncio.timeout(20):
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                frame = await client.recv()
                if isinstance(frame, str):
                    message = json.loads(frame)
    return message, client.close_code, client.close_reason


async def until(condition: Callable[[], Any], *, seconds: float = 20.0) -> None:
    """Poll until ``condition()`` holds; fails after ``seconds``."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # what other connections do has no event to wait for
            await asyncio.sleep(0.002)


class Parts:
    """What tests build from; a fixture, because test folders are no packages."""

    FakeReplica = FakeReplica
    INIT = INIT
    heard = staticmethod(heard)
    started = staticmethod(started)
    last_words = staticmethod(last_words)
    until = staticmethod(until)


@pytest.fixture
def parts() -> type[Parts]:
    return Parts


@pytest.fixture
async def replicas() -> AsyncIterator[Callable[..., Awaitable[list[FakeReplica]]]]:
    """Starts fake replicas: ``a, b = await replicas("a", "b")``."""
    made: list[FakeReplica] = []

    async def start(*names: str) -> list[FakeReplica]:
        fresh = [FakeReplica(name) for name in names]
        for replica in fresh:
            await replica.start()
            made.append(replica)
        return fresh

    yield start
    for replica in made:
        await replica.stop()


Route = Callable[..., AbstractAsyncContextManager[Routed]]


@pytest.fixture
def route() -> Route:
    """Runs a router: ``async with route(a, b, primary=a, failure_threshold=1) as router``."""

    @asynccontextmanager
    async def run(
        *targets: FakeReplica | ReplicaEndpoint, primary: FakeReplica | None = None, wait: bool = True, **settings: Any
    ) -> AsyncIterator[Routed]:
        endpoints = [
            ReplicaEndpoint(target.url, name=target.name, primary=target is primary)
            if isinstance(target, FakeReplica)
            else target
            for target in targets
        ]
        quick = {"health_check_interval_seconds": 0.02, "drain_timeout_seconds": 0.05, **settings}
        app = build_router_app(RouterConfig(replicas=endpoints, **quick))
        state: RouterState = app.state.router_state
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = build_server(app, listener, log_level="warning")
            task = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                await until(lambda: server.started or task.done())
                if wait:
                    await until(lambda: all(replica.is_healthy for replica in state.registry.all()))
                yield Routed(listener.getsockname()[1], state, server)
            finally:
                server.should_exit = True
                await asyncio.wait_for(task, 30)
        assert state.sessions == set()
        assert sum(replica.sessions for replica in state.registry.all()) == 0
        others = {
            task for task in asyncio.all_tasks() - {asyncio.current_task()} if "ServerConnection" not in str(task)
        }
        assert not {task for task in others if "bridge" in str(task).lower()}, others

    return run
