"""What a second worker process adds, and who waits for whom: a generator that sleeps needs no CPU to be busy.

Twice the sessions on two workers, against once the sessions on one: each makes the same number of segments, as fast as
it gets turns; from the first request until the last segment is whole. Rounds alternate; best of each. Then fifty
sessions share four workers, whose segments take up to a fifth more or less: how far does one fall behind another?
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import uvloop

from benchmarks.pool_stream import Pace, PoolStream, log_unread, worker_pool
from benchmarks.report import Effort, Figure, Report, main
from fastvideo.entrypoints.streaming.gpu_pool import SubprocessGpuPool
from fastvideo.entrypoints.streaming.segment_events import SegmentDone

# 1.9 times the sessions in the same time.
TIME_GOAL = 2 / 1.9
# Whose turn it is decides who begins. Of two that were begun one after the other the second may be done first.
SPREAD_GOAL = 2.0
UNFAIRNESS_GOAL = 0.01

_ROUNDS = {Effort.QUICK: 1, Effort.NORMAL: 3, Effort.LONG: 8}
_PACES = {
    Effort.QUICK: Pace(playback_s=0.5, factor=0.2),
    Effort.NORMAL: Pace(playback_s=1.0, factor=0.3),
    Effort.LONG: Pace(playback_s=1.0, factor=0.3),
}
_PER_WORKER = {Effort.QUICK: 1, Effort.NORMAL: 4, Effort.LONG: 4}
_SEGMENTS = {Effort.QUICK: 2, Effort.NORMAL: 6, Effort.LONG: 12}
_CROWD_JITTER = 0.2
# Sessions, workers, segments of each.
_CROWDS = {Effort.QUICK: (5, 2, 2), Effort.NORMAL: (50, 4, 6), Effort.LONG: (50, 4, 20)}


def measure(effort: Effort) -> Report:
    """The two loads in turns, then the crowd."""
    pace, each, segments = _PACES[effort], _PER_WORKER[effort], _SEGMENTS[effort]
    sessions, workers, crowd_segments = _CROWDS[effort]
    one_s, two_s = [], []
    with log_unread():
        for _ in range(_ROUNDS[effort]):
            one_s.append(uvloop.run(_serve(pace, workers=1, sessions=each, segments=segments))[0])
            two_s.append(uvloop.run(_serve(pace, workers=2, sessions=2 * each, segments=segments))[0])
        uneven = replace(pace, jitter=_CROWD_JITTER)
        crowd_s, order = uvloop.run(_serve(uneven, workers, sessions, crowd_segments))
    ratio = min(two_s) / min(one_s)
    served = f"{2 / ratio:.2f} times the sessions; {min(two_s):.2f} s / {min(one_s):.2f} s"
    asleep_s = each * segments * pace.segment_s
    index = jain(counts_when_first_is_done(order, sessions, crowd_segments))
    crowd = f"{sessions} sessions, {workers} workers, {crowd_segments} segments each"
    crowd_asleep_s = sessions * crowd_segments * pace.segment_s / workers
    figures = [
        Figure("two workers, twice the sessions / one worker: time", ratio, "x", TIME_GOAL, served),
        Figure("one worker / its generator's sleep", min(one_s) / asleep_s, "x", note=f"{asleep_s:.2f} s of sleep"),
        Figure("one session ahead of another by, at most", float(spread(order, sessions)), "", SPREAD_GOAL, crowd),
        Figure("1 - Jain's index when the first is done", 1 - index, "", UNFAIRNESS_GOAL, f"index {index:.4f}"),
        Figure("the crowd / its generators' sleep", crowd_s / crowd_asleep_s, "x", note=f"{crowd_s:.1f} s"),
    ]
    details = {"one_s": one_s, "two_s": two_s, "order": order}
    return Report("pool_scaling", effort, figures, details=details)


async def _serve(pace: Pace, workers: int, sessions: int, segments: int) -> tuple[float, list[int]]:
    """Seconds until each session has all its segments, and the sessions in the order in which segments were done."""
    order: list[int] = []
    async with worker_pool(pace, workers=workers, sessions=sessions) as pool:
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(sessions):
                group.create_task(_session(pool, number, pace, segments, order))
        return time.monotonic() - began_s, order


async def _session(pool: SubprocessGpuPool, number: int, pace: Pace, segments: int, order: list[int]) -> None:
    stream = PoolStream(pool, number, pace)
    await pool.acquire(stream.name)
    for _ in range(segments):
        async for event in stream.make("a lighthouse in a storm"):
            if isinstance(event, SegmentDone):
                order.append(number)


# --- what is fair


def spread(order: Sequence[int], sessions: int) -> int:
    """By how many segments one of ``sessions`` was ahead of another at most, when they were done in this order."""
    counts, furthest = [0] * sessions, 0
    for number in order:
        counts[number] += 1
        furthest = max(furthest, max(counts) - min(counts))
    return furthest


def counts_when_first_is_done(order: Sequence[int], sessions: int, segments: int) -> list[int]:
    """How many segments each session had when the first had all of its."""
    counts = [0] * sessions
    for number in order:
        counts[number] += 1
        if counts[number] == segments:
            break
    return counts


def jain(shares: Sequence[float]) -> float:
    """Jain's fairness index: 1 when all have the same, 1/n when one has everything."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


if __name__ == "__main__":
    sys.exit(main("pool_scaling", __doc__, measure))
