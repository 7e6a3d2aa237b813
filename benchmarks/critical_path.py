"""Our own time on the way of a segment: everything between a prompt and the first media, except generating.

576p, with LTX-2's continuation state (nine trailing frames) written and read for each segment. The generator has its
frames ready, so that what is left is ours. Medians. The goal is for what the service adds; the state, which costs nine
PNG files each way, is shown beside it. Once with plain prompts, and once with a language model, which answers at once,
and a classifier of prompts in the way: prompts are enhanced, or the story extended, and checked before and after.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.clip import SIZES, TINY, Size, clip_file
from benchmarks.language_model import ADDED, language_model
from benchmarks.report import Effort, Figure, Report, main
from benchmarks.server_process import ServerProcess, module_server
from fastvideo.client import StreamClient
from fastvideo.client.stream_protocol import MediaFragment
from fastvideo.entrypoints.streaming.protocol import (
    AutoExtensionUpdated,
    ErrorMessage,
    Ltx2SegmentComplete,
    Ltx2SegmentStart,
    SegmentTimings,
    SessionInitV2,
)
from scripts import train_safety

GOAL_MS = 100.0
PROMPT = "a lighthouse on a headland at dawn"
_SEGMENTS = {Effort.QUICK: 3, Effort.NORMAL: 12, Effort.LONG: 60}


@dataclass(frozen=True)
class Way:
    """Milliseconds of one segment's way, in order. ``state_made_ms``: the state of the segment before, where nobody
    thinks of a prompt meanwhile; ``request_ms``: until the generator is called, from the prompt leaving the client, or
    from that state; ``first_fragment_ms``: from the first frame ready to the first fragment at the client; ``told_ms``:
    what ``timings`` of the segment's end tells of it: prompt, queue, and start to first fragment, without the state."""

    state_made_ms: float
    request_ms: float
    state_read_ms: float
    first_fragment_ms: float
    told_ms: float

    @property
    def service_ms(self) -> float:
        """What the server itself adds: queue, prompt, turn, encode start."""
        return self.request_ms + self.first_fragment_ms

    @property
    def whole_ms(self) -> float:
        """That and the state."""
        return self.service_ms + self.state_made_ms + self.state_read_ms


def measure(effort: Effort) -> Report:
    """Prompted segments, then segments that follow by themselves; again with prompts that are worded and checked."""
    size = TINY if effort is Effort.QUICK else SIZES[0]
    named = asyncio.run(_measured(size, _SEGMENTS[effort]))
    figures = [figure for name, ways in named.items() for figure in _figures(f"{size.name} {name}", ways)]
    details = {name: [asdict(way) for way in ways] for name, ways in named.items()}
    return Report("critical_path", effort, figures, details=details)


def _figures(name: str, ways: list[Way]) -> list[Figure]:
    def median(part: str) -> float:
        values: list[float] = [getattr(way, part) for way in ways]
        return statistics.median(values)

    request = f"request {median('request_ms'):.1f} + first fragment {median('first_fragment_ms'):.1f}"
    request += f"; `timings` tells {median('told_ms'):.1f}"
    state = f"state made {median('state_made_ms'):.1f} + read {median('state_read_ms'):.1f}"
    return [
        Figure(f"{name}: queue, prompt, encode start", median("service_ms"), "ms", GOAL_MS, request),
        Figure(f"{name}: and the state", median("whole_ms"), "ms", note=state),
    ]


async def _measured(size: Size, segments: int) -> dict[str, list[Way]]:
    with clip_file(size) as path, tempfile.TemporaryDirectory(prefix="fastvideo-bench-") as folder:
        clip = ("--clip", str(path), "--carry-state")
        prompted, following = await _ways(clip, segments, worded=False)
        classifier = Path(folder) / "classifier.ftz"
        if train_safety.main([str(classifier), "--count", "1500"]) != 0:
            raise RuntimeError("no classifier was trained; its messages are above")
        async with language_model() as url:
            options = (*clip, "--language-model", url, "--classifier", str(classifier))
            enhanced, extended = await _ways(options, segments, worded=True)
    return {
        "prompted": prompted,
        "following": following,
        "prompted, enhanced and checked": enhanced,
        "following, extended and checked": extended,
    }


async def _ways(options: tuple[str, ...], segments: int, *, worded: bool) -> tuple[list[Way], list[Way]]:
    opening = SessionInitV2(enhancement_enabled=worded)
    async with (
        module_server("benchmarks.stream_server", *options) as server,
        await StreamClient.connect(server.stream_url, opening) as client,
    ):
        await client.started()
        # The first segment has no state to read; the next ones import what reads it.
        prompted = [await _prompted(client, server, worded) for _ in range(segments + 2)][2:]
        await client.send(AutoExtensionUpdated(enabled=True))
        following = await _following(client, server, segments, worded)
        await client.send(AutoExtensionUpdated(enabled=False))
    return prompted, following


async def _prompted(client: StreamClient, server: ServerProcess, worded: bool) -> Way:
    sent_s = time.monotonic()
    await client.prompt(PROMPT)
    seen = await _segment(client, worded)
    return _way(0.0, sent_s, seen, await server.line())


async def _following(client: StreamClient, server: ServerProcess, segments: int, worded: bool) -> list[Way]:
    ways = []
    await _segment(client, worded)
    before = await server.line()
    for _ in range(segments):
        seen = await _segment(client, worded)
        stamps = await server.line()
        state_made_ms = (before["state_made_s"] - before["coded_s"]) * 1000
        ways.append(_way(state_made_ms, before["state_made_s"], seen, stamps))
        before = stamps
    return ways


@dataclass(frozen=True)
class _Seen:
    """A segment at the client."""

    first_fragment_s: float
    timings: SegmentTimings


def _way(state_made_ms: float, asked_s: float, seen: _Seen, stamps: dict[str, float]) -> Way:
    told = seen.timings
    state_read_ms = (stamps["state_read_s"] - stamps["called_s"]) * 1000
    return Way(
        state_made_ms=state_made_ms,
        request_ms=(stamps["called_s"] - asked_s) * 1000,
        state_read_ms=state_read_ms,
        first_fragment_ms=(seen.first_fragment_s - stamps["ready_s"]) * 1000,
        told_ms=(told.prompt or 0.0) + (told.queue or 0.0) + (told.first_fragment or 0.0) - state_read_ms,
    )


async def _segment(client: StreamClient, worded: bool) -> _Seen:
    """Read one whole segment. Raises RuntimeError when its words are not a language model's where they should be."""
    first_s = 0.0
    while True:
        match await client.receive():
            case Ltx2SegmentStart(prompt=prompt):
                if prompt.endswith(ADDED) is not worded:
                    raise RuntimeError(f"expected {'a language model' if worded else 'nobody'} to word {prompt!r}")
            case MediaFragment():
                first_s = first_s or time.monotonic()
            case Ltx2SegmentComplete(timings=timings):
                assert timings is not None
                return _Seen(first_s, timings)
            case ErrorMessage() as error:
                raise RuntimeError(error.message)


if __name__ == "__main__":
    sys.exit(main("critical_path", __doc__, measure))
