"""Servers and a router whose processes are killed (-9), drained (SIGTERM) and restarted under sessions that go on.

Three ``fastvideo serve`` over one Redis, ``fastvideo router-serve`` before them, and thirty sessions with the fake
generator, each of which extends itself; every second one is asked for something else every few seconds. In each round
one server is killed, another one is drained, and Redis is killed and comes back with its data; after each of these the
process is started again. All pictures are decoded in the end and their numbers read.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.cluster_servers import FPS, Cluster, ClusterServer, cluster
from benchmarks.cluster_viewer import Viewer
from benchmarks.report import Effort, Figure, Report, main
from benchmarks.shown_frames import frame_faults

GOAL_S = 5.0
# After this long a session is taken to be stuck.
_STUCK_S = 30.0
_POLL_S = 0.02


@dataclass(frozen=True)
class Scale:
    """``calm_s``: how long nothing happens between two events; ``away_s``: how long Redis is."""

    sessions: int
    rounds: int
    segment_s: float
    lead_s: float
    calm_s: float
    away_s: float


_SCALES = {
    Effort.QUICK: Scale(6, 1, 1.0, 2.0, 1.5, 0.3),
    # Segments of five seconds: to open its coders costs most of a short one, and all of this is one machine's.
    Effort.NORMAL: Scale(30, 1, 5.0, 6.0, 12.0, 1.0),
    Effort.LONG: Scale(30, 3, 5.0, 6.0, 10.0, 2.0),
}


@dataclass
class Noticed:
    """What viewers noticed of an event: by how much their fragments were late, at most, in the time before it and in
    the time after it, and how often their players stalled then."""

    before_s: list[float] = field(default_factory=list)
    after_s: list[float] = field(default_factory=list)
    stalls_before: int = 0
    stalls_after: int = 0


@dataclass
class Findings:
    """``taken_s``: from a kill until another server had each session that was there; ``continued_s``: to its next
    fragment, and ``late_s``: without what is waited for on purpose; ``drained_s`` and ``drained_late_s``: the same from
    SIGTERM; ``ends_s``: from SIGTERM to the exit. ``others`` and ``redis``: what sessions noticed that were elsewhere
    when a server was killed, and all of them when Redis was away."""

    taken_s: list[float] = field(default_factory=list)
    continued_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    drained_late_s: list[float] = field(default_factory=list)
    drained_s: list[float] = field(default_factory=list)
    ends_s: list[float] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)
    others: Noticed = field(default_factory=Noticed)
    redis: Noticed = field(default_factory=Noticed)
    stuck: int = 0


class _Run:
    def __init__(self, cluster: Cluster, viewers: list[Viewer], scale: Scale) -> None:
        self._cluster = cluster
        self._viewers = viewers
        self._scale = scale
        self.found = Findings()

    async def round(self) -> None:
        """One of each event."""
        await self._kill()
        await self._drain()
        await self._restart_redis()

    async def _kill(self) -> None:
        stalls = self._stalls()
        await asyncio.sleep(self._scale.calm_s)
        victim, there, elsewhere = self._fullest()
        began_s, began_at_s, stalls_then = time.monotonic(), time.time(), self._stalls()
        await victim.kill()
        self.found.continued_s += await self._go_on(there, began_s)
        self.found.late_s += _late(there, began_s)
        self.found.taken_s += self._cluster.begun_after(began_at_s, [viewer.session_id for viewer in there])
        await self._calm_since(began_s)
        self._notice(self.found.others, elsewhere, began_s, stalls, stalls_then)
        await self._back(victim)

    async def _drain(self) -> None:
        await asyncio.sleep(self._scale.calm_s)
        leaver, there, _ = self._fullest()
        began_s = time.monotonic()
        self.found.exits.append(await leaver.drain())
        self.found.ends_s.append(time.monotonic() - began_s)
        self.found.drained_s += await self._go_on(there, began_s)
        self.found.drained_late_s += _late(there, began_s)
        await self._calm_since(began_s)
        await self._back(leaver)

    async def _restart_redis(self) -> None:
        stalls = self._stalls()
        await asyncio.sleep(self._scale.calm_s)
        began_s, stalls_then = time.monotonic(), self._stalls()
        self._cluster.redis.stop()
        await asyncio.sleep(self._scale.away_s)
        await asyncio.to_thread(self._cluster.redis.start)
        back_s = time.monotonic()
        await self._go_on(self._viewers, back_s)
        await self._calm_since(back_s)
        self._notice(self.found.redis, self._viewers, began_s, stalls, stalls_then)

    async def _back(self, server: ClusterServer) -> None:
        await server.start()
        await self._cluster.takes_sessions(server)

    def _fullest(self) -> tuple[ClusterServer, list[Viewer], list[Viewer]]:
        """The server with the most sessions, those, and all others."""
        homes = self._cluster.homes([viewer.session_id for viewer in self._viewers])
        placed = list(homes.values())
        server = max(self._cluster.servers, key=placed.count)
        there = [viewer for viewer in self._viewers if homes[viewer.session_id] is server]
        return server, there, [viewer for viewer in self._viewers if viewer not in there]

    async def _go_on(self, viewers: list[Viewer], since_s: float) -> list[float]:
        """How long each took until its next fragment."""
        await until(lambda: all(viewer.next_after(since_s) is not None for viewer in viewers))
        waits_s = [viewer.next_after(since_s) for viewer in viewers]
        self.found.stuck += waits_s.count(None)
        return [wait_s for wait_s in waits_s if wait_s is not None]

    async def _calm_since(self, moment_s: float) -> None:
        await asyncio.sleep(max(0.0, moment_s + self._scale.calm_s - time.monotonic()))

    def _stalls(self) -> dict[Viewer, int]:
        return {viewer: viewer.check.stalls for viewer in self._viewers}

    def _notice(
        self, noticed: Noticed, viewers: list[Viewer], at_s: float, earlier: dict[Viewer, int], then: dict[Viewer, int]
    ) -> None:
        """Compare the calm time before an event with the time since."""
        for viewer in viewers:
            noticed.before_s.append(viewer.latest_s(at_s - self._scale.calm_s, at_s))
            noticed.after_s.append(viewer.latest_s(at_s, time.monotonic()))
            noticed.stalls_before += then[viewer] - earlier[viewer]
            noticed.stalls_after += viewer.check.stalls - then[viewer]


def _late(viewers: list[Viewer], since_s: float) -> list[float]:
    late_s = [viewer.late_after(since_s) for viewer in viewers]
    return [each_s for each_s in late_s if each_s is not None]


async def until(condition: Callable[[], Any]) -> None:
    """Wait until a condition holds, for as long as a session is not taken to be stuck."""
    ends_s = time.monotonic() + _STUCK_S
    while not condition() and time.monotonic() < ends_s:  # noqa: ASYNC110  # what other processes do has no event
        await asyncio.sleep(_POLL_S)


async def watched(scale: Scale, folder: Path) -> tuple[Findings, list[Viewer]]:
    """All rounds, and what each viewer had."""
    async with cluster(folder, segment_s=scale.segment_s, lead_s=scale.lead_s, factor=0.02) as running:
        viewers = [Viewer(number, lead_s=scale.lead_s, asks=number % 2 == 0) for number in range(scale.sessions)]
        run = _Run(running, viewers, scale)
        async with asyncio.TaskGroup() as group:
            for viewer in viewers:
                group.create_task(viewer.watch(running.stream_url))
            await until(lambda: all(viewer.story.segments for viewer in viewers))
            for _ in range(scale.rounds):
                await run.round()
            for viewer in viewers:
                viewer.fall_silent()
            await until(lambda: not any(viewer.prompts_lost() for viewer in viewers))
            for viewer in viewers:
                group.create_task(viewer.leave())
        return run.found, viewers


def measure(effort: Effort) -> Report:
    """Kill, drain and restart, and see what the viewers had."""
    scale = _SCALES[effort]
    with tempfile.TemporaryDirectory(prefix="fastvideo-cluster-") as folder:
        found, viewers = uvloop.run(watched(scale, Path(folder)))
    pictures, wrong = _pictures([viewer.media for viewer in viewers], round(scale.segment_s * FPS), effort)
    named = {
        "pictures": wrong,
        "media": [f"session {n}: {fault}" for n, viewer in enumerate(viewers) for fault in viewer.check.faults],
        "told": [f"session {n}: {fault}" for n, viewer in enumerate(viewers) for fault in viewer.story.faults],
        "errors": [f"session {n}: {fault}" for n, viewer in enumerate(viewers) for fault in viewer.story.errors],
        "broke": [f"session {n}: {viewer.broke}" for n, viewer in enumerate(viewers) if viewer.broke],
        "lost": [prompt for viewer in viewers for prompt in viewer.prompts_lost()],
        "repeated": [prompt for viewer in viewers for prompt in viewer.prompts_repeated()],
    }
    asked = sum(len(viewer.asked) for viewer in viewers)
    made = statistics.median(viewer.made_in_a_second() for viewer in viewers)
    rounds = f"{scale.rounds} of each event, {scale.sessions} sessions"
    figures = [
        _worst("kill -9 until another server has the session, worst", found.taken_s, GOAL_S),
        _worst("kill -9: next fragment late by, worst", found.late_s, GOAL_S),
        _worst("kill -9 to the next fragment, with waits on purpose, worst", found.continued_s, None),
        _worst("SIGTERM: next fragment late by, worst", found.drained_late_s, GOAL_S),
        _worst("SIGTERM to the next fragment, with waits on purpose, worst", found.drained_s, None),
        Figure("SIGTERM to the exit, worst", max(found.ends_s), "s", note=f"exit codes {sorted(set(found.exits))}"),
        Figure("media made in a second", made, "s", note="below 1 the machine is too slow for its viewers"),
        _count("sessions that ended", [*named["broke"], *["stuck"] * found.stuck], rounds),
        _count("errors told", named["errors"]),
        _count("frame numbers that do not follow", named["pictures"], f"{pictures} pictures decoded"),
        _count("gaps, overlaps, sequence faults", named["media"]),
        _count("messages missing, twice or out of order", named["told"]),
        _count("prompts that became no segment", named["lost"], f"of {asked}"),
        Figure("prompts that became two", float(len(named["repeated"])), "", note=f"of {asked}"),
        *_noticed("a kill: others' fragments late by", "a kill: others' players that stalled", found.others),
        *_noticed(
            f"Redis away for {scale.away_s:g} s: fragments late by", "Redis away: players that stalled", found.redis
        ),
    ]
    details = {**named, **asdict(found)}
    return Report("cluster", effort, figures, details=details)


def _pictures(media: list[list[bytes]], frames_per_segment: int, effort: Effort) -> tuple[int, list[str]]:
    """How many pictures all sessions had, and what is wrong with their numbers."""
    read = partial(frame_faults, frames_per_segment=frames_per_segment)
    if effort is Effort.QUICK:
        found = list(map(read, media))
    else:
        # Some hundred thousand pictures: each core takes its part.
        with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as cores:
            found = list(cores.map(read, media))
    wrong = [f"session {number}: {fault}" for number, (_, faults) in enumerate(found) for fault in faults]
    return sum(count for count, _ in found), wrong


def _worst(name: str, values_s: list[float], goal_s: float | None) -> Figure:
    if not values_s:
        return Figure(name, None, "s", goal_s, "there was no such session")
    return Figure(name, max(values_s), "s", goal_s, f"p50 {statistics.median(values_s):.2f} s of {len(values_s)}")


def _noticed(late: str, stalled: str, noticed: Noticed) -> list[Figure]:
    before_s = max(noticed.before_s, default=0.0)
    return [
        Figure(
            f"{late}, at most", max(noticed.after_s, default=0.0), "s", note=f"in the time before it {before_s:.2f} s"
        ),
        Figure(stalled, float(noticed.stalls_after), "", 0.0, f"{noticed.stalls_before} in the time before it"),
    ]


def _count(name: str, faults: list[str], note: str = "") -> Figure:
    return Figure(name, float(len(faults)), "", 0.0, note)


if __name__ == "__main__":
    sys.exit(main("cluster", __doc__, measure))
