"""Worker processes that are killed (-9) at random points of their segments, one of two or both at once.

Streams ask for segment after segment, so that both workers are always busy; beside them a session asks for whole
results, whose frames come through shared memory. Most kills come once everything goes on again, some while the segment
that was hit is made a second time: the pool then fails it with a code, and its stream begins anew. Workers do not warm
up, so that a fragment also waits for what a worker loads on first use. Afterwards, what the pool and this process hold
is compared with before.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import uvloop

from benchmarks.holdings import Holdings
from benchmarks.pool_stream import (
    KnownLaunch,
    Pace,
    PoolStream,
    comes_true,
    log_unread,
    worker_pool,
    workers_busy,
    workers_ready,
)
from benchmarks.report import Effort, Figure, Report, main
from benchmarks.timeline_check import TimelineCheck
from fastvideo.api.errors import FastVideoError
from fastvideo.entrypoints.streaming.gpu_pool import SubprocessGpuPool
from fastvideo.entrypoints.streaming.segment_events import (
    SegmentDone,
    SegmentEvent,
    SegmentFragment,
    SegmentInit,
    SegmentStarted,
)

GOAL_S = 2.0
_MOMENTS = {Effort.QUICK: 3, Effort.NORMAL: 20, Effort.LONG: 200}
_PACES = {
    Effort.QUICK: Pace(playback_s=0.5, factor=0.4),
    Effort.NORMAL: Pace(playback_s=2.0, factor=0.4),
    Effort.LONG: Pace(playback_s=2.0, factor=0.4),
}
_WORKERS = 2
_STREAMS = 3
_ALL_AT_ONCE = 0.4
_AGAIN = 0.2
# After this long a stream is taken to be stuck, or a worker not to be replaced.
_STUCK_S = 30.0
_SETTLED_S = 2.0


@dataclass
class Findings:
    """``hits``: turns whose worker was killed; ``waits_s``: from a worker's being ready again to the next fragment;
    ``failures``: code and seconds since the last kill; ``leaks`` by kind."""

    moments: int = 0
    killed: int = 0
    hits: int = 0
    stuck: int = 0
    waits_s: list[float] = field(default_factory=list)
    ready_s: list[float] = field(default_factory=list)
    failures: list[tuple[str, float]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    fragments: int = 0
    leaks: dict[str, int] = field(default_factory=dict)


class _Viewer:
    """Takes a stream without end, and begins it anew when it failed with a code."""

    def __init__(self, stream: PoolStream, findings: Findings, killer: _Killer) -> None:
        self._stream = stream
        self._findings = findings
        self._killer = killer
        self._check = TimelineCheck()
        self._going_on: asyncio.Future[float | None] | None = None
        self.in_segment = False

    def goes_on(self) -> asyncio.Future[float | None]:
        """Done at the next fragment or at the segment's end, with the time; with None when it fails."""
        self._going_on = asyncio.get_running_loop().create_future()
        return self._going_on

    async def watch(self) -> None:
        """Take segments until the killer is done."""
        while not self._killer.done:
            try:
                async for event in self._stream.make("a lighthouse in a storm"):
                    self._take(event)
            except FastVideoError as error:
                self._findings.failures.append((error.code, time.monotonic() - self._killer.last_s))
                self._tell(None)
                self._stream.begin()
                self._begin()
            self.in_segment = False
        self._begin()

    def _begin(self) -> None:
        self._findings.faults += self._check.faults
        self._findings.fragments += self._check.fragments
        self._check = TimelineCheck()

    def _take(self, event: SegmentEvent) -> None:
        match event:
            case SegmentStarted():
                self.in_segment = True
            case SegmentInit(data=data):
                self._check.add_init(data)
            case SegmentFragment(data=data):
                self._check.add_fragment(data, time.monotonic())
                self._tell(time.monotonic())
            case SegmentDone():
                self._tell(time.monotonic())

    def _tell(self, at_s: float | None) -> None:
        if self._going_on is not None and not self._going_on.done():
            self._going_on.set_result(at_s)


class _Killer:
    """Kills at ``moments``, of which ``seed`` decides where in a segment they are and whom they hit."""

    def __init__(self, pool: SubprocessGpuPool, launch: KnownLaunch, pace: Pace, findings: Findings) -> None:
        self._pool = pool
        self._launch = launch
        self._pace = pace
        self._findings = findings
        self._random = random.Random(0)
        self.last_s = time.monotonic()
        self.done = False

    async def kill(self, moments: int, viewers: list[_Viewer]) -> None:
        """All kills, one after the other; raises TimeoutError when a worker is not replaced."""
        try:
            for _ in range(moments):
                await asyncio.sleep(self._random.uniform(0.0, self._pace.segment_s))
                await self._kill(viewers)
        finally:
            self.done = True

    async def _kill(self, viewers: list[_Viewer]) -> None:
        chance, found = self._random, self._findings
        both = chance.random() < _ALL_AT_ONCE
        again = chance.random() < _AGAIN
        victims = {index: self._launch.pids[index] for index in range(_WORKERS)}
        if not both:
            spared = chance.choice(sorted(victims))
            del victims[spared]
        found.moments += 1
        found.killed += len(victims)
        found.hits += len(set(workers_busy(self._pool)) & set(victims))
        self.last_s = time.monotonic()
        for pid in victims.values():
            os.kill(pid, signal.SIGKILL)
        # What came before the pool knew of it is read by then, and does not count as going on.
        await self._until(lambda: not set(workers_ready(self._pool)) & set(victims))
        waiting = [viewer.goes_on() for viewer in viewers if viewer.in_segment]
        ready = sorted(await asyncio.gather(*(self._replaced(index) for index in victims)))
        found.ready_s += [at_s - self.last_s for at_s in ready]
        if again:
            return
        if waiting:
            _, stuck = await asyncio.wait(waiting, timeout=_STUCK_S)
            found.stuck += len(stuck)
        went_on = sorted(at_s for one in waiting if one.done() and (at_s := one.result()) is not None)
        # Of one that was killed, the last to go on is at least as late as the one that it hit. Of two, each stream
        # goes on with the first of them that is ready, or with the second.
        found.waits_s += [
            max(0.0, at_s - since_s) for at_s, since_s in zip(went_on[-len(ready) :], ready, strict=False)
        ]

    async def _replaced(self, index: int) -> float:
        await self._until(lambda: index in workers_ready(self._pool))
        return time.monotonic()

    async def _until(self, condition: Any) -> None:
        if not await comes_true(condition, _STUCK_S):
            raise TimeoutError(f"the pool did not replace a worker within {_STUCK_S:g} s")


def measure(effort: Effort) -> Report:
    """Kill, and see what comes and what stays."""
    pace = _PACES[effort]
    with log_unread():
        found = uvloop.run(_kills(_MOMENTS[effort], pace))
    codes = sorted({code for code, _ in found.failures})
    late_s = [seconds for _, seconds in found.failures]
    went_on = found.hits - len(found.failures) - found.stuck
    kills = f"{found.moments} moments, {found.killed} processes, ready again after {_median(found.ready_s):.2f} s (p50)"
    figures = [
        Figure("turns whose worker was killed", float(found.hits), "", note=kills),
        Figure("of these went on", float(went_on), "", note="made again, and seen once"),
        Figure("of these failed with a code", float(len(late_s)), "", note=", ".join(codes) or "none"),
        Figure("of these neither", float(found.stuck), "", 0.0, f"within {_STUCK_S:g} s"),
        Figure(
            "worker ready again to next fragment, at most",
            max(found.waits_s, default=None),
            "s",
            GOAL_S,
            f"p50 {_median(found.waits_s):.2f} s; with up to {pace.segment_s:.1f} s to make the segment again"
            if found.waits_s
            else "no stream was hit",
        ),
        Figure(
            "death to failure with a code, at most",
            max(late_s, default=None),
            "s",
            GOAL_S,
            f"p50 {_median(late_s):.3f} s" if late_s else "no stream failed",
        ),
        Figure("gaps, overlaps, sequence faults", float(len(found.faults)), "", 0.0, f"{found.fragments} fragments"),
        *(Figure(f"leaked {kind}", float(count), "", 0.0) for kind, count in found.leaks.items()),
    ]
    details = {
        "waits_s": found.waits_s,
        "ready_s": found.ready_s,
        "failures": found.failures,
        "faults": found.faults[:100],
    }
    return Report("pool_kills", effort, figures, details=details)


def _median(values: list[float]) -> float:
    return statistics.median(values) if values else 0.0


async def _kills(moments: int, pace: Pace) -> Findings:
    findings, launch = Findings(), KnownLaunch()
    async with worker_pool(pace, workers=1, sessions=1, warm=False):
        # What a loop opens once for good is open after this.
        pass
    before = Holdings.now()
    places = _STREAMS + 1
    async with worker_pool(pace, workers=_WORKERS, sessions=places, warm=False, launch=launch) as pool:
        killer = _Killer(pool, launch, pace, findings)
        streams = [PoolStream(pool, number, pace) for number in range(_STREAMS)]
        viewers = [_Viewer(stream, findings, killer) for stream in streams]
        names = [*(stream.name for stream in streams), "results"]
        for name in names:
            await pool.acquire(name)
        warm = Holdings.now()
        async with asyncio.TaskGroup() as group:
            for viewer in viewers:
                group.create_task(viewer.watch())
            group.create_task(_take_results(pool, pace, findings, killer))
            group.create_task(killer.kill(moments, viewers))
        for name in names:
            await pool.release(name)
        # A worker says that it is free a moment after its segment is whole.
        await comes_true(lambda: not leaked_slots(pool), _SETTLED_S)
        findings.leaks["slots"] = leaked_slots(pool)
        running = await _left(warm)
    end = await _left(before)
    findings.leaks |= {kind: max(running[kind], end[kind]) for kind in end}
    return findings


async def _left(since: Holdings) -> dict[str, int]:
    """What this process holds more than it did, and does not let go in a while: others have transient files too."""
    await comes_true(lambda: not any(Holdings.now().more_than(since).values()), _SETTLED_S)
    return Holdings.now().more_than(since)


async def _take_results(pool: SubprocessGpuPool, pace: Pace, findings: Findings, killer: _Killer) -> None:
    request = pace.request("a red circle", seed=_STREAMS)
    while not killer.done:
        try:
            result = await pool.run("results", request)
        except FastVideoError as error:
            findings.failures.append((error.code, time.monotonic() - killer.last_s))
        else:
            if len(result.frames) != request.sampling.num_frames:
                findings.faults.append(f"a result of {len(result.frames)} frames")


def leaked_slots(pool: SubprocessGpuPool) -> int:
    """What the books of a pool count as taken, booting or dead, when nobody uses it."""
    health, workers = pool.health(), pool.get_status()["gpu_status"].values()
    taken: int = sum(worker["busy"] + worker["client_count"] for worker in workers)
    absent = health.total_workers - health.available_workers
    return taken + absent + health.active_sessions + health.queued_sessions + pool.turns_waiting


if __name__ == "__main__":
    sys.exit(main("pool_kills", __doc__, measure))
