"""Sessions that end in every way, over two servers that share their stores: what is left behind of them.

Both servers are processes of their own, one with its generator in a thread, one with worker processes. They are counted
after a first round of all visits, and again after all others.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.allocated import ENVIRONMENT
from benchmarks.report import Effort, Figure, Report, main
from benchmarks.server_process import ServerProcess, module_server
from benchmarks.visitor import Visitor
from benchmarks.visits import RARE_VISITS, VISITS, Servers, Visit
from fastvideo.entrypoints.streaming.protocol import Ltx2SegmentComplete, Ltx2StreamComplete, Ltx2StreamStart

KINDS = (
    *("sessions", "places", "connections", "tasks", "threads", "descriptors", "processes"),
    *("states", "blobs", "files of stores", "temporary files", "objects"),
)
_VISIT_TIMEOUT_S = 120.0
_SETTLE_S = 30.0
# Of a visit, on the server that leaks most.
_LEAK_GOAL_BYTES = 6 << 10
_MEMORY_GOAL_MIB = 8.0
_MIB = 1 << 20
# Newest sessions of a server whose clients may come back: each has a state and a record.
_KEPT_GOAL = 2 * 32 * 2


@dataclass(frozen=True)
class Plan:
    """How many visits before the first count, and after it, in so many rounds; how many ``rare`` ones follow; how often
    a server drains; worker processes of one; how many visits at once; how long a client may be silent; how much the
    servers leak of each stream, so that it is seen."""

    first: int
    visits: int
    drains: int
    workers: int
    rare: int
    at_once: int
    idle_s: int
    rounds: int = 1
    leak_bytes: int = 0


PLANS = {
    Effort.QUICK: Plan(first=len(VISITS), visits=36, drains=0, workers=1, rare=0, at_once=8, idle_s=4),
    Effort.NORMAL: Plan(first=100, visits=200, drains=1, workers=2, rare=2, at_once=12, idle_s=6),
    Effort.LONG: Plan(first=250, visits=1000, drains=4, workers=2, rare=10, at_once=12, idle_s=6, rounds=4),
}


@dataclass
class Findings:
    """``before`` and ``after``: what each server held; ``between``: the same after each round; ``faults``: visits that
    ended otherwise than they should; ``first``: how many visits there were before ``before``."""

    before: list[dict[str, Any]] = field(default_factory=list)
    between: list[list[dict[str, Any]]] = field(default_factory=list)
    after: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    visits: Counter[str] = field(default_factory=Counter)
    first: int = 0


@asynccontextmanager
async def _servers(folder: Path, plan: Plan) -> AsyncIterator[list[ServerProcess]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                module_server(
                    "benchmarks.endings_server",
                    *(str(folder), name, "--workers", str(count), "--idle-seconds", str(plan.idle_s)),
                    *("--leak-bytes", str(plan.leak_bytes)),
                    environment={**ENVIRONMENT, "TMPDIR": str(folder / "tmp")},
                )
            )
            for name, count in (("thread", 0), ("processes", plan.workers))
        ]


async def end_in_every_way(plan: Plan, folder: Path, seed: int = 0) -> Findings:
    """All visits, and the counts before and after most of them."""
    (folder / "tmp").mkdir()
    found, chance = Findings(first=plan.first), random.Random(seed)
    async with _servers(folder, plan) as servers:
        ports = [server.port for server in servers]
        for server in servers:
            await server.ready()
            await _asked(server.port, "prepare")
        await _make(_mixed(plan.first, chance), ports, plan, chance, found)
        found.before = [await _asked(port, "holdings") for port in ports]
        for _ in range(plan.rounds):
            await _make(_mixed(plan.visits // plan.rounds, chance), ports, plan, chance, found)
            if plan.rounds > 1:
                found.between.append([await _asked(port, "holdings") for port in ports])
        for number in range(plan.rare):
            await _make([RARE_VISITS[number % len(RARE_VISITS)]], ports, plan, chance, found)
            await servers[-1].ready()
        for number in range(plan.drains):
            await _drain(folder, f"drained-{number}", ports[number % 2], found)
        found.after = [await _asked(port, "holdings") for port in ports]
        until_s = time.monotonic() + _SETTLE_S
        while any(grown(found, kind) > 0 for kind in KINDS) and time.monotonic() < until_s:
            # What takes its time to end, as a close that nobody answers does, is not left behind.
            await asyncio.sleep(1.0)
            found.after = [await _asked(port, "holdings") for port in ports]
    return found


def _mixed(count: int, chance: random.Random) -> list[Visit]:
    visits = [VISITS[number % len(VISITS)] for number in range(count)]
    chance.shuffle(visits)
    return visits


async def _make(visits: list[Visit], ports: list[int], plan: Plan, chance: random.Random, found: Findings) -> None:
    room = asyncio.Semaphore(plan.at_once)

    async def one(number: int, visit: Visit) -> None:
        here = number % len(ports) if visit not in RARE_VISITS else len(ports) - 1
        at = Servers(ports[here], ports[here - 1], plan.idle_s, chance)
        async with room:
            found.visits[visit.__name__] += 1
            try:
                async with asyncio.timeout(_VISIT_TIMEOUT_S):
                    await visit(at)
            except Exception as error:
                # A fault of one is a finding, and the others go on.
                found.faults.append(f"{visit.__name__} at server {here}: {type(error).__name__}: {error}")

    await asyncio.gather(*(one(number, visit) for number, visit in enumerate(visits)))


async def _drain(folder: Path, name: str, port: int, found: Findings) -> None:
    """Sessions whose server is shut down between two segments, and that end on another one."""
    arguments = (str(folder), name, "--idle-seconds", "60")
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(module_server("benchmarks.endings_server", *arguments))
        visitors = [await Visitor.open(server.port) for _ in range(4)]
        for visitor in visitors:
            await visitor.until(Ltx2StreamStart)
            await visitor.prompt("a train")
            await visitor.until(Ltx2SegmentComplete)
        # Leaving the stack would do, but for clients that read meanwhile.
        closes = [asyncio.create_task(visitor.closes()) for visitor in visitors]
        await stack.aclose()
        codes = await asyncio.gather(*closes)
    found.faults += [f"a drained server closed with {code}" for code in codes if code != 1001]
    for visitor in visitors:
        found.visits["is_sent_away"] += 1
        again = await visitor.come_back(port)
        await again.prompt("another train")
        await again.until(Ltx2StreamComplete)
        await again.closes()


async def _asked(port: int, question: str) -> Any:
    async with httpx.AsyncClient(timeout=120) as http:
        return (await http.get(f"http://127.0.0.1:{port}/{question}")).raise_for_status().json()


def grown(found: Findings, kind: str) -> int:
    """How many more there are on the server where most were added."""
    return max(int(after[kind]) - int(before[kind]) for before, after in zip(found.before, found.after, strict=True))


def measure(effort: Effort) -> Report:
    """Visit, and count what is left."""
    plan = PLANS[effort]
    with tempfile.TemporaryDirectory(prefix="fastvideo-endings-") as folder:
        found = asyncio.run(end_in_every_way(plan, Path(folder)))
    return report(found, effort)


def report(found: Findings, effort: Effort) -> Report:
    """What was found, as figures."""
    count = sum(found.visits.values())
    ended = Counter[str]()
    for before, after in zip(found.before, found.after, strict=True):
        ended.update({reason: number - before["ended"].get(reason, 0) for reason, number in after["ended"].items()})
    note = ", ".join(f"{reason} {number}" for reason, number in sorted(ended.items()))
    figures = [
        Figure(
            "visits with another end than expected",
            float(len(found.faults)),
            "",
            0.0,
            f"{count} visits, a first round among them; after it {note}",
        ),
        *(
            Figure(f"{kind} more than before", float(max(0, grown(found, kind))), "", 0.0, _each(found, kind))
            for kind in KINDS
        ),
        Figure(
            "states and records kept for clients that may come back",
            float(max(held["kept for clients"] for count in (*found.between, found.after) for held in count)),
            "",
            float(_KEPT_GOAL),
            "by both servers, before they expired",
        ),
        Figure(
            "memory in use more than before",
            None if found.after[0]["in_use_bytes"] is None else grown(found, "in_use_bytes") / _MIB,
            "MiB",
            leak_goal_bytes(found) / _MIB,
            _sizes(found, "in_use_bytes"),
        ),
        Figure(
            "size of the process more than before",
            grown(found, "memory_bytes") / _MIB,
            "MiB",
            _MEMORY_GOAL_MIB if effort is Effort.LONG else None,
            _sizes(found, "memory_bytes"),
        ),
    ]
    details = {"faults": found.faults, "visits": dict(found.visits), "types that grew": types_that_grew(found)}
    return Report("endings", effort, figures, details=details)


def leak_goal_bytes(found: Findings) -> float:
    """By how much the memory in use may have grown after the first round."""
    return _LEAK_GOAL_BYTES * (sum(found.visits.values()) - found.first)


def _sizes(found: Findings, kind: str) -> str:
    """Of each server before, after each round and in the end."""
    counts = [found.before, *found.between, found.after]
    if counts[0][0][kind] is None:
        return "only the GNU C library counts it"
    servers = range(len(found.before))
    return "; ".join(" -> ".join(f"{count[server][kind] / _MIB:.2f}" for count in counts) for server in servers)


def _each(found: Findings, kind: str) -> str:
    pairs = zip(found.before, found.after, strict=True)
    return ", ".join(f"{before[kind]} -> {after[kind]}" for before, after in pairs)


def types_that_grew(found: Findings) -> list[dict[str, int]]:
    """For each server, the classes of which there are more live objects than before, and how many more."""
    pairs = zip(found.before, found.after, strict=True)
    return [dict((Counter(after["types"]) - Counter(before["types"])).most_common(40)) for before, after in pairs]


if __name__ == "__main__":
    sys.exit(main("endings", __doc__, measure))
