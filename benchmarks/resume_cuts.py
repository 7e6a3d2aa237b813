"""A session whose link is cut at random bytes, by a proxy: what its client has in the end, and how soon it goes on.

The reference is the same session without a cut. Each cut is a reset in the middle of whatever was being sent.
"""

from __future__ import annotations

import asyncio
import random
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from benchmarks.cutting_proxy import CuttingProxy
from benchmarks.report import Effort, Figure, Report, main
from fastvideo.client import StreamClient
from fastvideo.client.stream_protocol import Event, InitSegment, MediaFragment, UnknownMessage
from fastvideo.entrypoints.streaming.mock_server import build_mock_app
from fastvideo.entrypoints.streaming.server import build_server

_CUTS = {Effort.QUICK: 2, Effort.NORMAL: 20, Effort.LONG: 100}
_SEGMENTS = 2
_GOAL_MS = 1000.0


@dataclass
class Received:
    """What a client got: ``media`` in order, ``kinds`` of all events, ``pauses_ms`` from each cut to the next event."""

    media: list[bytes] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    pauses_ms: list[float] = field(default_factory=list)
    close_code: int | None = None
    first_bytes: int = 0
    all_bytes: int = 0


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """A small mock server in this process; gives its port."""
    app = build_mock_app(width=128, height=128, num_frames=24, segment_cap=_SEGMENTS)
    server = build_server(app, host="127.0.0.1", port=0, log_level="warning")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
                await asyncio.sleep(0.005)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await task


async def watch(port: int, cuts: list[int]) -> Received:
    """One session to its end, over connections that are cut after so many bytes each."""
    received, seen, now_s = Received(), 0, asyncio.get_running_loop().time
    async with CuttingProxy(port, cuts) as proxy:
        client = await StreamClient.connect(proxy.url)
        for number in range(_SEGMENTS):
            await client.prompt(f"a red circle, {number}")
        async for event in client:
            received.first_bytes = received.first_bytes or proxy.forwarded_bytes
            received.kinds.append(_kind(event))
            if isinstance(event, InitSegment | MediaFragment):
                received.media.append(event.data)
            if client.resumed > seen:
                seen = client.resumed
                received.pauses_ms.append((now_s() - proxy.cut_at_s[-1]) * 1000.0)
        received.close_code = client.close_code
        received.all_bytes = proxy.forwarded_bytes
    return received


def _kind(event: Event) -> str:
    if isinstance(event, InitSegment | MediaFragment | UnknownMessage):
        return type(event).__name__
    return event.type


async def cut_at_random(sessions: int, cuts_each: int = 1, seed: int = 0) -> tuple[Received, list[Received]]:
    """A session without a cut, and so many that are cut at random bytes."""
    chance = random.Random(seed)
    async with serving() as port:
        whole = await watch(port, [])
        # Until the first message is there, there is no session to go on with.
        first, last = whole.first_bytes + 64, whole.all_bytes
        cut = [
            await watch(port, [chance.randint(first, last // cuts_each) for _ in range(cuts_each)])
            for _ in range(sessions)
        ]
    return whole, cut


def faults(whole: Received, cut: list[Received]) -> list[str]:
    """What differs from the session without a cut."""
    found = []
    for number, each in enumerate(cut):
        if each.media != whole.media:
            found.append(f"session {number}: {len(each.media)} of {len(whole.media)} pieces of media, or others")
        if each.kinds != whole.kinds:
            found.append(f"session {number}: other messages, or in another order: {each.kinds}")
    return found


def measure(effort: Effort) -> Report:
    """Cut, and compare."""
    whole, cut = asyncio.run(cut_at_random(_CUTS[effort]))
    differing = faults(whole, cut)
    pauses_ms = sorted(pause for each in cut for pause in each.pauses_ms)
    figures = [
        Figure(
            "streams that differ from an uncut one",
            float(len(differing)),
            "",
            0.0,
            f"{len(cut)} cuts, {whole.all_bytes} bytes a session",
        ),
        Figure(
            "from the cut to the next message, worst",
            pauses_ms[-1] if pauses_ms else None,
            "ms",
            _GOAL_MS,
            f"{len(pauses_ms)} cuts before the last message" if pauses_ms else "no cut was before the last message",
        ),
    ]
    return Report("resume_cuts", effort, figures, details={"faults": differing, "pauses_ms": pauses_ms})


if __name__ == "__main__":
    sys.exit(main("resume_cuts", __doc__, measure))
