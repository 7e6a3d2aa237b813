"""A service with OpenAI's interface on loopback that answers at once, with the last words it was told and some more."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

ADDED = "in soft morning light"


@contextlib.asynccontextmanager
async def language_model() -> AsyncIterator[str]:
    """Serve until the block ends; gives what comes before ``/chat/completions``."""
    connections: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                writer.write(_answer(await _question(reader)))
                await writer.drain()
        connections.discard(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        for writer in connections:
            writer.close()
        await server.wait_closed()


async def _question(reader: asyncio.StreamReader) -> str:
    """The last message of a request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length:"))
    messages = json.loads(await reader.readexactly(length))["messages"]
    return str(messages[-1]["content"])


def _answer(asked: str) -> bytes:
    said = asked.splitlines()[-1].removesuffix(f" {ADDED}")
    choice = {"message": {"role": "assistant", "content": f"{said} {ADDED}"}, "finish_reason": "stop"}
    body = json.dumps({"id": "x", "choices": [choice], "usage": {"total_tokens": 3}}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
