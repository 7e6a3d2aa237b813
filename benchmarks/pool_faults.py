"""What viewers notice of a worker that misbehaves: hangs, dies while it boots, prints a megabyte, outgrows its limit.

Viewers play in real time and ask for each segment when the one before should have begun to play; a fragment's latency
is counted from then until it is there, so that it holds the wait for a turn, the segment being made, and every stall.
Beside them one session streams as fast as it gets turns. For each fault there are phases of the same length in turns,
on the same pool: in those without, that session asks for ordinary segments, in the others for segments that have the
fault on whichever worker takes them. The pool tries such a segment twice, so that it costs two workers one after the
other, and then fails it; the next one comes when all workers are there again.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from benchmarks.control import p99_ms
from benchmarks.faulty_worker import faulty_command
from benchmarks.pool_stream import KnownLaunch, Pace, PoolStream, comes_true, log_unread, worker_pool, workers_ready
from benchmarks.report import Effort, Figure, Report, main
from fastvideo.api.errors import FastVideoError
from fastvideo.entrypoints.streaming.gpu_pool import SubprocessGpuPool
from fastvideo.entrypoints.streaming.segment_events import SegmentFragment
from fastvideo.entrypoints.streaming.worker_supervisor import Limits

RATIO_GOAL = 1.5
_ORDINARY = "a lighthouse in a storm"
_MEMORY_BYTES = 300 << 20
_REPLACED_S = 60.0


@dataclass(frozen=True)
class Fault:
    """``prompt`` brings it about; ``boot_deaths`` of the workers that follow die while they boot. ``costs_worker``:
    whether it cannot be survived."""

    name: str
    prompt: str
    boot_deaths: int = 0
    costs_worker: bool = True


FAULTS = (
    Fault("hangs", "hang"),
    Fault("dies, then twice while it boots", "exit", boot_deaths=2),
    Fault("prints a megabyte", "print", costs_worker=False),
    Fault("outgrows its memory limit", "grow"),
)


@dataclass(frozen=True)
class _Plan:
    workers: int
    viewers: int
    pace: Pace
    rounds: int
    phase_s: float
    deadline_s: float
    backoff_s: float = 0.5


_BUSY = Pace(playback_s=2.0, factor=0.25, jitter=0.1)
_PLANS = {
    Effort.QUICK: _Plan(2, 1, Pace(playback_s=0.5, factor=0.1), 1, phase_s=0.1, deadline_s=0.7, backoff_s=0.05),
    Effort.NORMAL: _Plan(4, 4, _BUSY, 1, phase_s=12.0, deadline_s=3.0),
    Effort.LONG: _Plan(4, 4, _BUSY, 4, phase_s=20.0, deadline_s=3.0),
}


@dataclass
class _Seen:
    """Latencies in seconds of viewers' fragments, ``broken``: their segments that failed; ``times``: how often the
    fault was brought about, ``replaced``: processes that ended, ``missing``: workers that did not come again."""

    without_s: list[float] = field(default_factory=list)
    with_s: list[float] = field(default_factory=list)
    broken: int = 0
    times: int = 0
    replaced: int = 0
    missing: int = 0


class _Stage:
    """A pool of workers that may be faulty, its viewers, and the session that brings the faults about."""

    def __init__(self, pool: SubprocessGpuPool, launch: KnownLaunch, plan: _Plan, boot_deaths: Path) -> None:
        self._pool = pool
        self._launch = launch
        self._plan = plan
        self._boot_deaths = boot_deaths
        self._viewers = [PoolStream(pool, number, plan.pace) for number in range(plan.viewers)]
        self._culprit = PoolStream(pool, plan.viewers, plan.pace)
        chance = random.Random(0)
        self._offsets_s = [chance.uniform(0.0, plan.pace.playback_s) for _ in self._viewers]

    async def enter(self) -> None:
        """Take the places in the pool."""
        for stream in (*self._viewers, self._culprit):
            await self._pool.acquire(stream.name)

    async def compare(self, fault: Fault) -> _Seen:
        """A phase without the fault and one with it, in turns."""
        seen = _Seen()
        for _ in range(self._plan.rounds):
            await self._phase(seen, seen.without_s, None)
            before = self._launch.started
            await self._phase(seen, seen.with_s, fault)
            seen.replaced += self._launch.started - before
        return seen

    async def _phase(self, seen: _Seen, latencies_s: list[float], fault: Fault | None) -> None:
        ends_s = time.monotonic() + self._plan.phase_s
        async with asyncio.TaskGroup() as group:
            for viewer, offset_s in zip(self._viewers, self._offsets_s, strict=True):
                group.create_task(self._watch(viewer, offset_s, ends_s, latencies_s, seen))
            group.create_task(self._stream(ends_s) if fault is None else self._offend(fault, ends_s, seen))

    async def _watch(
        self, stream: PoolStream, offset_s: float, ends_s: float, latencies_s: list[float], seen: _Seen
    ) -> None:
        due_s = time.monotonic() + offset_s
        while True:
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            try:
                async for event in stream.make(_ORDINARY):
                    if isinstance(event, SegmentFragment):
                        latencies_s.append(time.monotonic() - due_s)
            except FastVideoError:
                seen.broken += 1
                stream.begin()
            due_s += self._plan.pace.playback_s
            if due_s >= ends_s:
                return

    async def _stream(self, ends_s: float) -> None:
        while time.monotonic() < ends_s:
            async for _ in self._culprit.make(_ORDINARY):
                pass

    async def _offend(self, fault: Fault, ends_s: float, seen: _Seen) -> None:
        while True:
            seen.times += 1
            for number in range(fault.boot_deaths):
                (self._boot_deaths / str(number)).touch()
            try:
                async for _ in self._culprit.make(fault.prompt):
                    pass
            except FastVideoError:
                self._culprit.begin()
            if not await comes_true(lambda: self._missing() == 0, _REPLACED_S):
                seen.missing += self._missing()
            if time.monotonic() >= ends_s:
                return

    def _missing(self) -> int:
        return self._plan.workers - len(workers_ready(self._pool))


def measure(effort: Effort) -> Report:
    """Each fault in turn, against the same pool without it."""
    plan = _PLANS[effort]
    with log_unread():
        found = uvloop.run(_faults(plan, FAULTS))
    figures: list[Figure] = []
    for fault, seen in zip(FAULTS, found, strict=True):
        for name, of in (("p50", _p50_ms), ("p99", p99_ms)):
            with_ms, without_ms = of(seen.with_s), of(seen.without_s)
            note = f"{with_ms:.0f} ms / {without_ms:.0f} ms, {len(seen.with_s)} / {len(seen.without_s)} fragments"
            title = f"one {fault.name}: others' fragments {name} with / without"
            figures.append(Figure(title, with_ms / without_ms, "x", RATIO_GOAL, note))
        if fault.costs_worker:
            note = f"{seen.times} times, {seen.replaced} processes replaced"
        else:
            note = f"{seen.times} times; it goes on, {seen.replaced} processes replaced"
        figures.append(Figure(f"one {fault.name}: workers missing afterwards", float(seen.missing), "", 0.0, note))
    broken = float(sum(seen.broken for seen in found))
    load = (
        f"{plan.workers} workers, {plan.viewers} viewers of {plan.pace.playback_s:g} s segments at {plan.pace.factor:g}"
    )
    figures.append(Figure("viewers' segments that failed", broken, "", 0.0, load))
    details = {
        fault.name: {"with_s": seen.with_s, "without_s": seen.without_s}
        for fault, seen in zip(FAULTS, found, strict=True)
    }
    return Report("pool_faults", effort, figures, details=details)


def _p50_ms(samples: list[float]) -> float:
    return statistics.median(samples) * 1000


async def _faults(plan: _Plan, faults: Sequence[Fault]) -> list[_Seen]:
    limits = Limits(segment_s=plan.deadline_s, memory_bytes=_MEMORY_BYTES, backoff_s=plan.backoff_s)
    with tempfile.TemporaryDirectory() as folder:
        launch = KnownLaunch(faulty_command(Path(folder)))
        sessions = plan.viewers + 1
        async with worker_pool(
            plan.pace, workers=plan.workers, sessions=sessions, launch=launch, limits=limits
        ) as pool:
            stage = _Stage(pool, launch, plan, Path(folder))
            await stage.enter()
            return [await stage.compare(fault) for fault in faults]


if __name__ == "__main__":
    sys.exit(main("pool_faults", __doc__, measure))
