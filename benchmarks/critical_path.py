"""Our own time on the way of a segment: everything between a prompt and the first media, except generating.

576p, with LTX-2's continuation state (nine trailing frames) written and read for each segment. The generator has its
frames ready, so that what is left is ours. Medians. The goal is for what the service adds; the state, which costs nine
PNG files each way, is shown beside it.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from dataclasses import asdict, dataclass

from benchmarks.clip import SIZES, TINY, Size, clip_file
from benchmarks.report import Effort, Figure, Report, main
from benchmarks.server_process import ServerProcess, module_server
from fastvideo.client import StreamClient
from fastvideo.client.stream_protocol import MediaFragment
from fastvideo.entrypoints.streaming.protocol import (
    AutoExtensionUpdated,
    ErrorMessage,
    Ltx2SegmentComplete,
)

GOAL_MS = 100.0
_SEGMENTS = {Effort.QUICK: 3, Effort.NORMAL: 12, Effort.LONG: 60}


@dataclass(frozen=True)
class Way:
    """Milliseconds of one segment's way, in order. ``state_made_ms``: the state of the segment before, where nobody
    thinks of a prompt meanwhile; ``request_ms``: until the generator is called, from the prompt leaving the client, or
    from that state; ``first_fragment_ms``: from the first frame ready to the first fragment at the client."""

    state_made_ms: float
    request_ms: float
    state_read_ms: float
    first_fragment_ms: float

    @property
    def service_ms(self) -> float:
        """What the server itself adds: queue, prompt, turn, encode start."""
        return self.request_ms + self.first_fragment_ms

    @property
    def whole_ms(self) -> float:
        """That and the state."""
        return self.service_ms + self.state_made_ms + self.state_read_ms


def measure(effort: Effort) -> Report:
    """Prompted segments, then segments that follow by themselves."""
    size = TINY if effort is Effort.QUICK else SIZES[0]
    prompted, following = asyncio.run(_ways(size, _SEGMENTS[effort]))
    figures = [figure for name, ways in _named(prompted, following) for figure in _figures(f"{size.name} {name}", ways)]
    details = {name: [asdict(way) for way in ways] for name, ways in _named(prompted, following)}
    return Report("critical_path", effort, figures, details=details)


def _named(prompted: list[Way], following: list[Way]) -> tuple[tuple[str, list[Way]], ...]:
    return ("prompted", prompted), ("following", following)


def _figures(name: str, ways: list[Way]) -> list[Figure]:
    def median(part: str) -> float:
        values: list[float] = [getattr(way, part) for way in ways]
        return statistics.median(values)

    request = f"request {median('request_ms'):.1f} + first fragment {median('first_fragment_ms'):.1f}"
    state = f"state made {median('state_made_ms'):.1f} + read {median('state_read_ms'):.1f}"
    return [
        Figure(f"{name}: queue, prompt, encode start", median("service_ms"), "ms", GOAL_MS, request),
        Figure(f"{name}: and the state", median("whole_ms"), "ms", note=state),
    ]


async def _ways(size: Size, segments: int) -> tuple[list[Way], list[Way]]:
    with clip_file(size) as path:
        async with (
            module_server("benchmarks.stream_server", "--clip", str(path), "--carry-state") as server,
            await StreamClient.connect(server.stream_url) as client,
        ):
            await client.started()
            # The first segment has no state to read; the next ones import what reads it.
            prompted = [await _prompted(client, server) for _ in range(segments + 2)][2:]
            await client.send(AutoExtensionUpdated(enabled=True))
            following = await _following(client, server, segments)
            await client.send(AutoExtensionUpdated(enabled=False))
    return prompted, following


async def _prompted(client: StreamClient, server: ServerProcess) -> Way:
    sent_s = time.monotonic()
    await client.prompt("a lighthouse on a headland at dawn")
    first_s = await _first_fragment_s(client)
    return _way(0.0, sent_s, first_s, await server.line())


async def _following(client: StreamClient, server: ServerProcess, segments: int) -> list[Way]:
    ways = []
    await _first_fragment_s(client)
    before = await server.line()
    for _ in range(segments):
        first_s = await _first_fragment_s(client)
        stamps = await server.line()
        state_made_ms = (before["state_made_s"] - before["coded_s"]) * 1000
        ways.append(_way(state_made_ms, before["state_made_s"], first_s, stamps))
        before = stamps
    return ways


def _way(state_made_ms: float, asked_s: float, first_fragment_s: float, stamps: dict[str, float]) -> Way:
    return Way(
        state_made_ms=state_made_ms,
        request_ms=(stamps["called_s"] - asked_s) * 1000,
        state_read_ms=(stamps["state_read_s"] - stamps["called_s"]) * 1000,
        first_fragment_ms=(first_fragment_s - stamps["ready_s"]) * 1000,
    )


async def _first_fragment_s(client: StreamClient) -> float:
    """Read one whole segment; when its first fragment came."""
    first_s = 0.0
    while True:
        match await client.receive():
            case MediaFragment():
                first_s = first_s or time.monotonic()
            case Ltx2SegmentComplete():
                return first_s
            case ErrorMessage() as error:
                raise RuntimeError(error.message)


if __name__ == "__main__":
    sys.exit(main("critical_path", __doc__, measure))
