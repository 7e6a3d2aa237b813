"""A long stream from the fake generator at nine tenths of real time, give or take a tenth per segment.

One session extends itself; its media is checked as it comes (``timeline_check.py``): every tick and sequence number,
whether a player that started with half a second ever ran dry, how far sound and picture end apart. The drift is how
much that distance changed from the first minute to the last; a browser's own part is checked by the browser tests.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Sequence

from benchmarks.report import Effort, Figure, Report, main
from benchmarks.server_process import ROOT, fastvideo_serve
from benchmarks.timeline_check import TimelineCheck
from fastvideo.client import StreamClient
from fastvideo.client.stream_protocol import InitSegment, MediaFragment
from fastvideo.entrypoints.streaming.protocol import (
    ErrorMessage,
    Ltx2SegmentComplete,
    SessionInitV2,
)

CONFIG = ROOT / "configs" / "serve_mock.yaml"
DRIFT_GOAL_MS = 50.0
# Segments after which the server has all that it keeps, and how many are looked at there and at the end.
_WARM_SEGMENTS = 2
_SETTLED_SEGMENTS = 3
_MEDIA_S = {Effort.QUICK: 30.0, Effort.NORMAL: 120.0, Effort.LONG: 1800.0}
_PACED = ("--generator.model_path", "mock:?rtf=0.9&jitter=0.1")
# As fast as it goes, in a small picture: thirty seconds of media in a few.
_QUICK = (
    *("--generator.model_path", "mock:"),
    *("--default_request.sampling.width", "64"),
    *("--default_request.sampling.height", "64"),
    *("--streaming.pacing.lead_seconds", "3600"),
    *("--streaming.warmup.enabled", "false"),
)


def measure(effort: Effort) -> Report:
    """One session of the effort's length."""
    overrides = _QUICK if effort is Effort.QUICK else _PACED
    check, memory_bytes = asyncio.run(_watch(_MEDIA_S[effort], overrides))
    minutes = f"{check.media_s / 60:.1f} min of media"
    part = max(1, min(len(check.skews_s) // 2, 240))
    drift_s = abs(statistics.median(check.skews_s[-part:]) - statistics.median(check.skews_s[:part]))
    settled_bytes = memory_bytes[_WARM_SEGMENTS:]
    growth_bytes = statistics.median(settled_bytes[-_SETTLED_SEGMENTS:]) - statistics.median(
        settled_bytes[:_SETTLED_SEGMENTS]
    )
    least_lead = f"least lead {check.least_lead_s:.2f} s, {check.stalled_s:.2f} s stalled"
    figures = [
        Figure("stalls", float(check.stalls), "", 0.0, f"{minutes}; {least_lead}"),
        Figure("gaps, overlaps, sequence faults", float(len(check.faults)), "", 0.0, f"{check.fragments} fragments"),
        Figure("drift of sound against picture", round(drift_s * 1000, 3), "ms", DRIFT_GOAL_MS),
        Figure("sound ends before the picture, at most", max(check.skews_s) * 1000, "ms", note="64 ms by design"),
        Figure("server memory grew by", growth_bytes / 2**20, "MiB", note=f"over {len(settled_bytes)} segments"),
    ]
    details = {"faults": check.faults[:100], "stalled_s": check.stalled_s, "memory_bytes": memory_bytes}
    return Report("soak", effort, figures, details=details)


async def _watch(media_s: float, overrides: Sequence[str]) -> tuple[TimelineCheck, list[int]]:
    overrides = [*overrides, "--streaming.generation_segment_cap", "1000000"]
    opening = SessionInitV2(curated_prompts=["a red kite over the sea"], auto_extension_enabled=True)
    check = TimelineCheck()
    async with (
        fastvideo_serve(CONFIG, overrides) as (server, _),
        await StreamClient.connect(server.stream_url, opening) as client,
    ):
        memory_bytes = []
        while check.media_s < media_s:
            match await client.receive():
                case InitSegment(data=data):
                    check.add_init(data)
                case MediaFragment(data=data):
                    check.add_fragment(data, time.monotonic())
                case Ltx2SegmentComplete():
                    memory_bytes.append(server.memory_bytes())
                case ErrorMessage() as error:
                    raise RuntimeError(error.message)
        return check, memory_bytes


if __name__ == "__main__":
    sys.exit(main("soak", __doc__, measure))
