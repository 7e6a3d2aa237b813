"""A crowd at one server: clients that start and never read, connections that are opened and dropped, a client that
talks without end. What their neighbours have meanwhile, and what is left of them all.

The server is a process of its own. Its worker hands on media that is coded already, so that what neighbours wait for is
the server and not a coder. They are watched without the crowd first.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from benchmarks.allocated import ENVIRONMENT
from benchmarks.control import p99_ms
from benchmarks.crowd_clients import Talked, Watched, drop_many, never_read, read_again, talk, watch
from benchmarks.crowd_server import LEAD_S
from benchmarks.replay import ReplayLoad
from benchmarks.report import Effort, Figure, Report, main
from benchmarks.server_process import module_server
from fastvideo.entrypoints.streaming.outbox import KEPT_BYTES, MAX_BYTES

KINDS = ("sessions", "places", "connections", "tasks", "threads", "descriptors")
HEARD = "1013 too_slow"
_LATENESS_GOAL_MS = 100.0
_MEMORY_GOAL_MIB = 2.0
_MIB = 1 << 20
# Of one: what its client has not taken, what may have to be sent again, and the rest of a session.
_STREAM_GOAL_MIB = (MAX_BYTES + KEPT_BYTES) / _MIB + 1.0
_LOOK_S = 0.25
_SETTLE_S = 20.0
_CLOSED_TIMEOUT_S = 100.0


@dataclass(frozen=True)
class Size:
    """Of one crowd. ``silent``: clients that never read; ``reread``: those that read on once they are given up;
    ``drops``: connections that are opened and dropped, at ``drops_per_s``; it lasts ``least_s`` or longer."""

    silent: int
    reread: int
    drops: int
    drops_per_s: float
    least_s: float = 0.0


@dataclass(frozen=True)
class Plan:
    """``first``: a crowd before the first count; ``crowd``: the one that counts; ``alone_s``: how long neighbours are
    watched without one; ``talks_per_s``: messages of one client; ``slow_reader_s``: None is what the service has."""

    first: Size
    crowd: Size
    neighbours: int
    alone_s: float
    talks_per_s: float
    grace_s: float
    slow_reader_s: float | None
    load: ReplayLoad


# Turns short enough that as many streams as the crowd has at its begin play in real time, as with a worker for each.
_LOAD = ReplayLoad(sessions=4, segment_s=1.0, pace=40.0)
_FEW = Size(silent=4, reread=2, drops=200, drops_per_s=100.0)
PLANS = {
    Effort.QUICK: Plan(
        first=Size(silent=1, reread=0, drops=24, drops_per_s=100.0),
        crowd=Size(silent=4, reread=2, drops=120, drops_per_s=60.0),
        neighbours=2,
        alone_s=1.0,
        talks_per_s=100.0,
        grace_s=0.5,
        slow_reader_s=1.0,
        load=ReplayLoad(sessions=2, megabit_s=10.0, segment_s=1.0, pace=8.0),
    ),
    Effort.NORMAL: Plan(
        first=_FEW,
        crowd=Size(silent=100, reread=5, drops=10_000, drops_per_s=200.0, least_s=30.0),
        neighbours=4,
        alone_s=20.0,
        talks_per_s=200.0,
        grace_s=5.0,
        slow_reader_s=None,
        load=_LOAD,
    ),
    Effort.LONG: Plan(
        first=_FEW,
        crowd=Size(silent=100, reread=5, drops=50_000, drops_per_s=200.0, least_s=30.0),
        neighbours=4,
        alone_s=60.0,
        talks_per_s=200.0,
        grace_s=30.0,
        slow_reader_s=None,
        load=_LOAD,
    ),
}


@dataclass
class Found:
    """Of one crowd. ``too_slow``: sessions that ended because their client did not read; ``heard``: how those were
    closed that read on; ``failed``: drops that came to nothing; ``peak_bytes``: the most memory in use meanwhile."""

    watched: Watched
    talked: Talked = field(default_factory=Talked)
    too_slow: int = 0
    heard: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    peak_bytes: int = 0
    lasted_s: float = 0.0


@dataclass
class Findings:
    """``alone``: what neighbours have without a crowd; ``before`` and ``after``: what the server held."""

    alone: Watched
    crowd: Found
    before: dict[str, Any]
    after: dict[str, Any]


async def endure(plan: Plan) -> Findings:
    """Let a crowd come, and count before it and after it."""
    arguments = ["--load", plan.load.to_json(), "--grace-seconds", str(plan.grace_s)]
    if plan.slow_reader_s is not None:
        arguments += ["--slow-reader-seconds", str(plan.slow_reader_s)]
    async with module_server("benchmarks.crowd_server", *arguments, environment=ENVIRONMENT) as server:
        await server.ready()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=120) as http:
            await _asked(http, "prepare")
            await _come(plan, plan.first, server.port, http)
            before = await _asked(http, "left")
            async with _neighbours(plan, server.port) as alone:
                await asyncio.sleep(plan.alone_s)
            crowd = await _come(plan, plan.crowd, server.port, http)
            found = Findings(alone, crowd, before, await _asked(http, "left"))
            until_s = time.monotonic() + _SETTLE_S
            while any(grown(found, kind) > 0 for kind in KINDS) and time.monotonic() < until_s:
                # What takes its time to end, as a close that nobody answers does, is not left behind.
                await asyncio.sleep(1.0)
                found.after = await _asked(http, "left")
            return found


@asynccontextmanager
async def _neighbours(plan: Plan, port: int) -> AsyncIterator[Watched]:
    watched, leave = Watched(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(plan.neighbours):
            group.create_task(watch(port, watched, leave))
        yield watched
        leave.set()


async def _come(plan: Plan, size: Size, port: int, http: httpx.AsyncClient) -> Found:
    """One crowd, until all who do not read were given up, and all others have gone."""
    readers, over = size.silent + size.reread, asyncio.Event()
    ended_before, began_s = _too_slow(await _asked(http, "now")), time.monotonic()

    async def given_up(session_id: str) -> bool:
        return session_id not in (await _asked(http, "now"))["sessions"]

    async with AsyncExitStack() as stack:
        found = Found(await stack.enter_async_context(_neighbours(plan, port)))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        stack.callback(over.set)
        talking = group.create_task(talk(port, plan.talks_per_s, over))
        for _ in range(size.silent):
            stack.callback((await never_read(port)).close)
        rereading = [group.create_task(read_again(port, given_up)) for _ in range(size.reread)]
        dropping = group.create_task(drop_many(port, size.drops, per_second=size.drops_per_s))
        while True:
            state, lasted_s = await _asked(http, "now"), time.monotonic() - began_s
            found.too_slow = _too_slow(state) - ended_before
            found.peak_bytes = max(found.peak_bytes, state["in_use_bytes"] or 0)
            closed = found.too_slow >= readers or lasted_s > _CLOSED_TIMEOUT_S
            if dropping.done() and closed and lasted_s >= size.least_s:
                break
            await asyncio.sleep(_LOOK_S)
    found.talked, found.failed = talking.result(), dropping.result()
    found.heard = [task.result() for task in rereading]
    found.lasted_s = time.monotonic() - began_s
    return found


def _too_slow(state: dict[str, Any]) -> int:
    count: int = state["ended"].get("too_slow", 0)
    return count


async def _asked(http: httpx.AsyncClient, question: str) -> dict[str, Any]:
    answer: dict[str, Any] = (await http.get(f"/{question}")).raise_for_status().json()
    return answer


def grown(found: Findings, kind: str) -> int:
    """How many more there are than before the crowd."""
    return int(found.after[kind]) - int(found.before[kind])


def measure(effort: Effort) -> Report:
    """Let the crowd come, and tell what its neighbours had."""
    return report(asyncio.run(endure(PLANS[effort])), effort)


def report(found: Findings, effort: Effort) -> Report:
    """What was found, as figures."""
    plan, crowd, alone = PLANS[effort], found.crowd, found.alone
    size, watched, talked = plan.crowd, crowd.watched, crowd.talked
    readers = size.silent + size.reread
    counted = found.before["in_use_bytes"] is not None
    peak_mib = (crowd.peak_bytes - (found.before["in_use_bytes"] or 0)) / _MIB
    figures = [
        _late("fragment lateness p99 in the crowd", watched.late_s, _LATENESS_GOAL_MS),
        _late("fragment lateness p99 alone", alone.late_s),
        _late("worker to client p99 in the crowd", watched.delivered_s, _LATENESS_GOAL_MS),
        _late("worker to client p99 alone", alone.delivered_s),
        Figure(
            "neighbours' fragments missing, and streams broken",
            float(watched.missing + len(watched.broke)),
            "",
            0.0,
            f"{len(watched.late_s)} fragments, {plan.neighbours} neighbours, {crowd.lasted_s:.0f} s",
        ),
        Figure(
            "clients that do not read and were not given up", float(readers - crowd.too_slow), "", 0.0, f"{readers}"
        ),
        Figure(
            "those that read on and did not hear why",
            float(sum(reason != HEARD for reason in crowd.heard)),
            "",
            0.0,
            f"{size.reread}, close {HEARD}",
        ),
        Figure(
            "connections that could not be opened, to be dropped", float(len(crowd.failed)), "", 0.0, f"{size.drops}"
        ),
        Figure(
            "messages of the one that talks left unanswered",
            float(talked.sent - talked.pongs - talked.errors),
            "",
            0.0,
            f"{talked.sent}, {talked.sent / talked.lasted_s:.0f} a second",
        ),
        _late("round trip of its pings p99", talked.round_trips_s),
        *(
            Figure(f"{kind} more than before", float(max(0, grown(found, kind))), "", 0.0, _each(found, kind))
            for kind in KINDS
        ),
        Figure(
            "memory in use more than before",
            grown(found, "in_use_bytes") / _MIB if counted else None,
            "MiB",
            _MEMORY_GOAL_MIB,
            _sizes(found, "in_use_bytes") if counted else "only the GNU C library counts it",
        ),
        Figure(
            "size of the process more than before",
            grown(found, "memory_bytes") / _MIB,
            "MiB",
            None,
            _sizes(found, "memory_bytes"),
        ),
        Figure(
            "memory at its peak, for each stream that stays",
            peak_mib / (readers + plan.neighbours) if counted else None,
            "MiB",
            _STREAM_GOAL_MIB,
            f"{peak_mib:.0f} MiB in all" if counted else "only the GNU C library counts it",
        ),
    ]
    details = {
        "broke": watched.broke,
        "heard": crowd.heard,
        "failed": crowd.failed[:20],
        "ended": found.after["ended"],
        "lead_s": LEAD_S,
    }
    return Report("crowd", effort, figures, details=details)


def _late(name: str, samples_s: list[float], goal_ms: float | None = None) -> Figure:
    worst_ms = max(samples_s) * 1000
    return Figure(name, p99_ms(samples_s), "ms", goal_ms, f"worst {worst_ms:.0f} ms of {len(samples_s)}")


def _each(found: Findings, kind: str) -> str:
    return f"{found.before[kind]} -> {found.after[kind]}"


def _sizes(found: Findings, kind: str) -> str:
    return f"{found.before[kind] / _MIB:.2f} -> {found.after[kind] / _MIB:.2f}"


if __name__ == "__main__":
    sys.exit(main("crowd", __doc__, measure))
