"""What a router in between costs: latency each way, and throughput, against the same server without one.

One server (our transport, nothing behind it) in a process of its own, ``fastvideo router-serve`` in another, the client
in the benchmark's. Round trips of small messages alternate between the direct and the routed connection; so do rounds
in which several connections together read fragments of 5 Mbit/s streams as fast as they come.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator

import uvloop
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.replay import ReplayLoad
from benchmarks.report import Effort, Figure, Report, main
from benchmarks.router_process import routing
from benchmarks.server_process import ServerProcess, module_server

LATENCY_GOAL_MS = 0.1
# At least three quarters of the throughput.
TIME_GOAL = 1 / 0.75
_MIB = 1 << 20
_OPENING_MIB = {Effort.QUICK: 1, Effort.NORMAL: 48, Effort.LONG: 48}
_SIDES = ("direct", "routed")
# Round trips and rounds, fragments of a round on each connection, and connections.
_EFFORTS = {Effort.QUICK: (20, 1, 10, 2), Effort.NORMAL: (4000, 8, 400, 4), Effort.LONG: (20_000, 30, 800, 4)}


def measure(effort: Effort) -> Report:
    """Alternate between the direct and the routed way."""
    return uvloop.run(_measure(effort))


async def _measure(effort: Effort) -> Report:
    trips, rounds, fragments, connections = _EFFORTS[effort]
    fragment_bytes = len(ReplayLoad(sessions=1).fragment())
    async with (
        module_server("benchmarks.bulk_server") as server,
        routing([f"http://127.0.0.1:{server.port}"]) as router,
    ):
        targets = {"direct": server, "routed": router}
        first = await _round_trips(targets, trips)
        times_s: dict[str, list[float]] = {side: [] for side in _SIDES}
        cpu_s: dict[str, list[float]] = {side: [] for side in _SIDES}
        openings_s: dict[str, list[float]] = {side: [] for side in _SIDES}
        async with _connected(targets, connections) as ways:
            for _ in range(rounds):
                for side in _SIDES:
                    before_s = router.cpu_s()
                    times_s[side].append(await _bulk(ways[side], fragments, fragment_bytes))
                    cpu_s[side].append(router.cpu_s() - before_s)
        for _ in range(min(rounds, 5)):
            for side in _SIDES:
                openings_s[side].append(await _opening_s(targets[side], _OPENING_MIB[effort]))
    direct_ms, routed_ms = (statistics.median(first[side]) * 1000 for side in _SIDES)
    round_bytes = connections * fragments * fragment_bytes
    best = {side: min(times_s[side]) for side in _SIDES}
    speeds = [round_bytes / best[side] / 1e6 for side in _SIDES]
    figures = [
        Figure(
            "added latency per direction, p50",
            (routed_ms - direct_ms) / 2,
            "ms",
            LATENCY_GOAL_MS,
            f"round trips {routed_ms:.3f} ms / {direct_ms:.3f} ms",
        ),
        Figure(
            "time for the same media / direct",
            best["routed"] / best["direct"],
            "x",
            TIME_GOAL,
            f"throughput {best['direct'] / best['routed']:.2f} of direct; {speeds[1]:.0f} MB/s / {speeds[0]:.0f} MB/s",
        ),
        Figure(
            "router CPU per GB of media", min(cpu_s["routed"]) / round_bytes * 1e9, "s", note=f"{fragment_bytes} B each"
        ),
        Figure(
            f"opening message of {_OPENING_MIB[effort]} MiB / direct",
            min(openings_s["routed"]) / min(openings_s["direct"]),
            "x",
            note=f"{min(openings_s['routed']):.2f} s / {min(openings_s['direct']):.2f} s",
        ),
    ]
    details = {"times_s": times_s, "openings_s": openings_s, "round_bytes": round_bytes, "round_trips": trips}
    return Report("router", effort, figures, against="the same server without a router", details=details)


async def _open(target: ServerProcess) -> ClientConnection:
    connection = await connect(target.stream_url, compression=None, max_size=None, proxy=None)
    await connection.send("opening")
    await connection.recv()
    return connection


@contextlib.asynccontextmanager
async def _connected(targets: dict[str, ServerProcess], count: int) -> AsyncIterator[dict[str, list[ClientConnection]]]:
    ways = {side: [await _open(target) for _ in range(count)] for side, target in targets.items()}
    try:
        yield ways
    finally:
        for connections in ways.values():
            for connection in connections:
                await connection.close()


async def _round_trips(targets: dict[str, ServerProcess], count: int) -> dict[str, list[float]]:
    """Seconds of each round trip of a small message, direct and routed in turns."""
    found: dict[str, list[float]] = {side: [] for side in targets}
    text = json.dumps({"type": "ping", "id": "0" * 32})
    async with _connected(targets, 1) as ways:
        for _ in range(count):
            for side, (connection,) in ways.items():
                began_s = time.perf_counter()
                await connection.send(text)
                await connection.recv()
                found[side].append(time.perf_counter() - began_s)
    return found


async def _bulk(connections: list[ClientConnection], count: int, size_bytes: int) -> float:
    """Seconds until all connections have read their fragments."""
    order = json.dumps({"count": count, "bytes": size_bytes})

    async def read(connection: ClientConnection) -> None:
        await connection.send(order)
        while isinstance(await connection.recv(), bytes):
            pass

    began_s = time.perf_counter()
    await asyncio.gather(*(read(connection) for connection in connections))
    return time.perf_counter() - began_s


async def _opening_s(target: ServerProcess, size_mib: int) -> float:
    """Seconds until a large opening message is acknowledged."""
    text = "x" * (size_mib * _MIB)
    connection = await connect(target.stream_url, compression=None, max_size=None, proxy=None, ping_interval=None)
    try:
        began_s = time.perf_counter()
        await connection.send(text)
        await connection.recv()
        return time.perf_counter() - began_s
    finally:
        await connection.close()


if __name__ == "__main__":
    sys.exit(main("router", __doc__, measure))
