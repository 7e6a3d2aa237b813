"""Sessions of the real server through a router, over connections that break."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator

from fastvideo.client import StreamClient
from fastvideo.client.stream_protocol import InitSegment, MediaFragment
from fastvideo.entrypoints.streaming.mock_server import build_mock_app
from fastvideo.entrypoints.streaming.protocol import SegmentPromptSource, SessionInitV2
from fastvideo.entrypoints.streaming.router.config import ReplicaEndpoint
from fastvideo.entrypoints.streaming.server import build_server

PROMPTS = ("a red circle", "a blue square")


class CuttingProxy:
    """TCP in between. The next connection is cut after ``cut_after`` bytes towards the client."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.cut_after: int | None = None
        self.cuts = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left, self.cut_after = self.cut_after, None
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        up = asyncio.create_task(self._copy(reader, back))
        with contextlib.suppress(OSError):
            while data := await there.read(65_536):
                if left is not None and len(data) >= left:
                    writer.write(data[:left])
                    await writer.drain()
                    self.cuts += 1
                    break
                left = None if left is None else left - len(data)
                writer.write(data)
                await writer.drain()
        up.cancel()
        # Without an end of the stream that anybody meant.
        for end in (writer, back):
            end.transport.abort()
        await asyncio.gather(up, return_exceptions=True)

    @staticmethod
    async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
            writer.write_eof()


@contextlib.asynccontextmanager
async def proxied(port: int) -> AsyncIterator[CuttingProxy]:
    proxy = CuttingProxy(port)
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        proxy.port = server.sockets[0].getsockname()[1]
        yield proxy


@contextlib.asynccontextmanager
async def served(parts) -> AsyncIterator[int]:
    """The mock server in this loop; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = build_server(build_mock_app(), host="127.0.0.1", port=0, log_level="warning")
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await parts.until(lambda: server.started or task.done())
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await asyncio.wait_for(task, 30)


async def stream_of(port: int, *, resume: bool) -> tuple[list[bytes], int]:
    """All media of a short session, and how often its client came back."""
    url = f"ws://127.0.0.1:{port}/v1/stream"
    media = []
    async with await StreamClient.connect(url, SessionInitV2(), resume=resume) as client:
        await client.started()
        for index, prompt in enumerate(PROMPTS):
            await client.send(SegmentPromptSource(prompt=prompt, seed=7, request_id=str(index)))
        complete = 0
        async with asyncio.timeout(60):
            while complete < len(PROMPTS):
                event = await client.receive()
                if isinstance(event, InitSegment | MediaFragment):
                    media.append(event.data)
                complete += getattr(event, "type", "") == "ltx2_segment_complete"
        await client.stop()
        return media, client.resumed


async def test_a_client_behind_a_router_notices_nothing_of_a_broken_connection_to_the_server(parts, route):
    rng = random.Random(4)
    async with served(parts) as port, proxied(port) as proxy:
        expected, _ = await stream_of(port, resume=False)
        total = sum(map(len, expected))
        # Health is asked once: that the next connection is a session's.
        async with route(
            ReplicaEndpoint(f"http://127.0.0.1:{proxy.port}"), health_check_interval_seconds=1000.0
        ) as router:
            for cut in (rng.randrange(500, total) for _ in range(4)):
                proxy.cut_after = cut
                media, resumed = await stream_of(int(router.url.rpartition(":")[2]), resume=False)
                assert media == expected, cut
                assert resumed == 0
            assert router.metric("fastvideo_router_resumptions_total", outcome="resumed") == proxy.cuts == 4


async def test_a_client_whose_own_connection_breaks_comes_back_through_the_router(parts, route):
    async with served(parts) as port:
        expected, _ = await stream_of(port, resume=False)
        async with (
            route(ReplicaEndpoint(f"http://127.0.0.1:{port}")) as router,
            proxied(int(router.url.rpartition(":")[2])) as proxy,
        ):
            proxy.cut_after = sum(map(len, expected)) // 2
            media, resumed = await stream_of(proxy.port, resume=True)
            assert media == expected
            assert resumed == 1
