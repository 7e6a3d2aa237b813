"""A service with OpenAI's interface on a loopback port that answers as a test wants; enhancers that are closed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest

from fastvideo.entrypoints.streaming.prompt.enhancer import PromptEnhancer
from fastvideo.entrypoints.streaming.prompt.providers.base import LLMProvider
from fastvideo.entrypoints.streaming.prompt.providers.endpoints import Endpoint
from fastvideo.entrypoints.streaming.prompt.providers.openai_compatible import OpenAICompatibleProvider

PATIENCE_S = 30.0


@dataclass
class Exchange:
    """One request, and the connection to answer it on. ``gone`` is set when the client leaves before the answer."""

    path: str
    headers: dict[str, str]
    body: Any
    connection: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, status: int, body: bytes, **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}", "Content-Type: application/json"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await self.writer.drain()

    async def until_gone(self) -> None:
        while await self.reader.read(4096):
            pass
        self.gone.set()


Play: TypeAlias = Callable[[Exchange], Awaitable[None]]


class Plays:
    """What a service may do with a request."""

    @staticmethod
    def completes(**choice: Any) -> Play:
        async def play(exchange: Exchange) -> None:
            await exchange.send(
                200, json.dumps({"id": "x", "choices": [choice], "usage": {"total_tokens": 3}}).encode()
            )

        return play

    @classmethod
    def says(cls, text: str | None, **message: Any) -> Play:
        return cls.completes(message={"role": "assistant", "content": text, **message}, finish_reason="stop")

    @staticmethod
    def answers(status: int, body: bytes = b"{}", **headers: str) -> Play:
        async def play(exchange: Exchange) -> None:
            await exchange.send(status, body, **headers)

        return play

    @staticmethod
    def after(wait: Callable[[], Awaitable[object]], then: Play) -> Play:
        async def play(exchange: Exchange) -> None:
            await wait()
            await then(exchange)

        return play

    @staticmethod
    async def hangs(exchange: Exchange) -> None:
        await exchange.until_gone()

    @staticmethod
    async def breaks_off(exchange: Exchange) -> None:
        exchange.writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"choi')
        exchange.writer.close()

    @staticmethod
    async def never_ends(exchange: Exchange) -> None:
        exchange.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        part = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        while True:
            exchange.writer.write(part)
            await exchange.writer.drain()


class FakeModel:
    """The service. ``plays`` are done in order, one per request; the last one again and again."""

    def __init__(self, plays: tuple[Play, ...]) -> None:
        self._plays = plays
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._asked = asyncio.Condition()
        self.received: list[Exchange] = []
        self.connections = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def asked(self, times: int) -> None:
        """Wait until that many requests are there."""
        async with asyncio.timeout(PATIENCE_S), self._asked:
            await self._asked.wait_for(lambda: len(self.received) >= times)

    async def all_left(self) -> None:
        """Wait until every client has closed its connections."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*self._connections)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self.connections += 1
        connection = self.connections
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {
                    name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
                }
                body = json.loads(await reader.readexactly(int(headers["content-length"])))
                exchange = Exchange(head[0].split()[1], headers, body, connection, reader, writer)
                play = self._plays[min(len(self.received), len(self._plays) - 1)]
                self.received.append(exchange)
                async with self._asked:
                    self._asked.notify_all()
                await play(exchange)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


StartModel: TypeAlias = Callable[..., Awaitable[FakeModel]]


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither proxies nor keys of whoever runs the tests."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("CEREBRAS_API_KEY", "GROQ_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def plays() -> Plays:
    return Plays()


@pytest.fixture
async def start_model() -> AsyncIterator[StartModel]:
    models: list[FakeModel] = []

    async def start(*plays: Play) -> FakeModel:
        model = FakeModel(plays)
        await model.start()
        models.append(model)
        return model

    yield start
    for model in models:
        await model.close()


@pytest.fixture
async def enhancer_of() -> AsyncIterator[Callable[..., PromptEnhancer]]:
    """An enhancer of providers or base URLs, the first one named p0; closed afterwards."""
    made: list[PromptEnhancer] = []

    def build(*sources: str | LLMProvider, **settings: Any) -> PromptEnhancer:
        providers = [
            OpenAICompatibleProvider(Endpoint(f"p{index}", source)) if isinstance(source, str) else source
            for index, source in enumerate(sources)
        ]
        made.append(PromptEnhancer(**{"providers": providers, "model": "small-model", **settings}))
        return made[-1]

    yield build
    for enhancer in made:
        await enhancer.aclose()
