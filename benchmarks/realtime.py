"""Whether the small model generates faster than it plays: ``configs/serve_tiny.yaml`` through the server.

Seconds from the prompt leaving the client to the end of the segment's media there, over the seconds that it plays; the
first segment of a session, and those that continue it. Below 1 a stream never runs dry.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.report import Effort, Figure, Report, main
from benchmarks.server_process import ROOT, fastvideo_serve
from fastvideo.client import StreamClient
from fastvideo.entrypoints.streaming.protocol import (
    ErrorMessage,
    Ltx2SegmentComplete,
    MediaSegmentComplete,
)

CONFIG = ROOT / "configs" / "serve_tiny.yaml"
GOAL = 1.0
_SEGMENTS = {Effort.QUICK: 2, Effort.NORMAL: 5, Effort.LONG: 20}
_QUICK_OVERRIDES = (
    *("--default_request.sampling.width", "64"),
    *("--default_request.sampling.height", "64"),
    *("--default_request.sampling.num_frames", "25"),
    *("--streaming.warmup.enabled", "false"),
)


@dataclass(frozen=True)
class Pace:
    """One segment: what it took, what it plays, and where the time went (``timings`` of ``ltx2_segment_complete``)."""

    wall_s: float
    playback_s: float
    timings: dict[str, Any]

    @property
    def ratio(self) -> float:
        """Generation time over playback time."""
        return self.wall_s / self.playback_s


def measure(effort: Effort) -> Report:
    """One session, one prompt after the other."""
    overrides = _QUICK_OVERRIDES if effort is Effort.QUICK else ()
    first, *following = asyncio.run(_paces(_SEGMENTS[effort], overrides))
    median = statistics.median(pace.ratio for pace in following)
    worst = max(following, key=lambda pace: pace.ratio)
    where = ", ".join(f"{name} {ms / 1000:.2f} s" for name, ms in worst.timings.items() if ms)
    figures = [
        Figure(
            "first segment / playback", first.ratio, "x", GOAL, f"{first.wall_s:.2f} s for {first.playback_s:.2f} s"
        ),
        Figure("continued segment / playback", median, "x", GOAL, f"median of {len(following)}"),
        Figure("continued segment / playback, worst", worst.ratio, "x", GOAL, where),
    ]
    return Report("realtime", effort, figures, details={"segments": [asdict(pace) for pace in (first, *following)]})


async def _paces(segments: int, overrides: tuple[str, ...]) -> list[Pace]:
    async with (
        fastvideo_serve(CONFIG, overrides) as (server, _),
        await StreamClient.connect(server.stream_url) as client,
    ):
        await client.started()
        return [await _pace(client) for _ in range(segments)]


async def _pace(client: StreamClient) -> Pace:
    sent_s = time.monotonic()
    await client.prompt("a paper boat on a rainy street")
    wall_s = playback_s = 0.0
    while True:
        match await client.receive():
            case MediaSegmentComplete() as media:
                wall_s = time.monotonic() - sent_s
                playback_s = (media.duration_ms or 0.0) / 1000
            case Ltx2SegmentComplete() as complete:
                return Pace(wall_s, playback_s, complete.timings.model_dump() if complete.timings else {})
            case ErrorMessage() as error:
                raise RuntimeError(error.message)


if __name__ == "__main__":
    sys.exit(main("realtime", __doc__, measure))
