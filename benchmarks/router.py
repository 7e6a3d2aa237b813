"""What a router in between costs: latency each way, and throughput, against the same server without one.

Throughput is that of a whole server (``benchmarks.stream_server``) whose sessions stream media that is coded already as
fast as they can: with and without ``fastvideo router-serve`` before it, each in a process of its own. The rest is
measured at a server that has our transport and nothing behind it, in turns directly, through the router, and through a
relay that moves bytes from socket to socket, which is the least that anything in between can cost.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import uvloop
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.replay import ReplayLoad
from benchmarks.report import Effort, Figure, Report, main
from benchmarks.router_process import routing
from benchmarks.server_process import ServerProcess, module_server
from fastvideo.entrypoints.streaming.protocol import SessionInitV2, encode_client_message

LATENCY_GOAL_MS = 0.1
# At least three quarters of the throughput.
TIME_GOAL = 1 / 0.75
_MIB = 1 << 20
# Faster than anybody reads.
_UNPACED = 1e6
_OPENING_MIB = {Effort.QUICK: 1, Effort.NORMAL: 48, Effort.LONG: 48}


@dataclass(frozen=True)
class _Scale:
    """Round trips; rounds, and fragments of a round on each of so many connections or sessions."""

    trips: int
    rounds: int
    fragments: int
    connections: int


_SCALES = {
    Effort.QUICK: _Scale(20, 1, 10, 2),
    Effort.NORMAL: _Scale(4000, 8, 400, 4),
    Effort.LONG: _Scale(20_000, 30, 800, 4),
}


@dataclass
class _Times:
    """Seconds of each round, and of CPU that whatever was in between used in it, by the way that was taken."""

    wall_s: dict[str, list[float]] = field(default_factory=dict)
    cpu_s: dict[str, list[float]] = field(default_factory=dict)

    def add(self, way: str, wall_s: float, cpu_s: float) -> None:
        self.wall_s.setdefault(way, []).append(wall_s)
        self.cpu_s.setdefault(way, []).append(cpu_s)

    def ratio(self, way: str) -> float:
        """Best time on this way over the best without anything in between."""
        return min(self.wall_s[way]) / min(self.wall_s["direct"])


def measure(effort: Effort) -> Report:
    """Alternate between the ways."""
    return uvloop.run(_measure(effort))


async def _measure(effort: Effort) -> Report:
    scale = _SCALES[effort]
    sessions = await _sessions(scale)
    fragment_bytes = len(ReplayLoad(sessions=1).fragment())
    transport = _Times()
    openings_s: dict[str, list[float]] = {}
    async with _transport_ways() as ways:
        direct_ms, routed_ms = await _round_trips({way: ways[way] for way in ("direct", "routed")}, scale.trips)
        async with _connected(ways, scale.connections) as connections:
            for _ in range(scale.rounds):
                for way, target in ways.items():
                    before_s = target.cpu_s()
                    wall_s = await _bulk(connections[way], scale.fragments, fragment_bytes)
                    transport.add(way, wall_s, target.cpu_s() - before_s)
        for _ in range(min(scale.rounds, 5)):
            for way in ("direct", "routed"):
                openings_s.setdefault(way, []).append(await _opening_s(ways[way], _OPENING_MIB[effort]))
    round_bytes = scale.connections * scale.fragments * fragment_bytes
    figures = [
        Figure(
            "added latency per direction, p50",
            (routed_ms - direct_ms) / 2,
            "ms",
            LATENCY_GOAL_MS,
            f"round trips {routed_ms:.3f} ms / {direct_ms:.3f} ms",
        ),
        Figure(
            "time for the same media of sessions / direct",
            sessions.ratio("routed"),
            "x",
            TIME_GOAL,
            _speeds(sessions, ("routed", "direct"), round_bytes),
        ),
        Figure(
            "time without sessions, from memory / direct",
            transport.ratio("routed"),
            "x",
            note=_speeds(transport, ("routed", "direct"), round_bytes),
        ),
        Figure(
            "the same through a bare relay / direct",
            transport.ratio("relay"),
            "x",
            note=_speeds(transport, ("relay", "direct"), round_bytes),
        ),
        Figure(
            "router CPU per GB of media",
            statistics.median(transport.cpu_s["routed"]) / round_bytes * 1e9,
            "s",
            note=f"bare relay {statistics.median(transport.cpu_s['relay']) / round_bytes * 1e9:.3f} s, direct server "
            f"{statistics.median(transport.cpu_s['direct']) / round_bytes * 1e9:.3f} s without sessions, "
            f"{statistics.median(sessions.cpu_s['direct']) / round_bytes * 1e9:.3f} s with them",
        ),
        Figure(
            f"opening message of {_OPENING_MIB[effort]} MiB / direct",
            min(openings_s["routed"]) / min(openings_s["direct"]),
            "x",
            note=f"{min(openings_s['routed']):.2f} s / {min(openings_s['direct']):.2f} s",
        ),
    ]
    details = {
        "sessions": {"wall_s": sessions.wall_s, "cpu_s": sessions.cpu_s},
        "transport": {"wall_s": transport.wall_s, "cpu_s": transport.cpu_s},
        "openings_s": openings_s,
        "round_bytes": round_bytes,
        "round_trips": scale.trips,
    }
    return Report("router", effort, figures, against="the same server without a router", details=details)


def _speeds(times: _Times, ways: tuple[str, str], round_bytes: int) -> str:
    """Throughput on both ways, and what the first has of the second's."""
    first, second = (round_bytes / min(times.wall_s[way]) / 1e6 for way in ways)
    return f"throughput {first / second:.2f} of {ways[1]}; {first:.0f} MB/s / {second:.0f} MB/s"


# --- sessions


async def _sessions(scale: _Scale) -> _Times:
    """Rounds in which sessions of a whole server stream as fast as their clients read, with and without the router."""
    load = ReplayLoad(sessions=scale.connections, pace=_UNPACED)
    times = _Times()
    async with (
        module_server(
            "benchmarks.stream_server", "--replay", load.to_json(), "--lead-seconds", str(_UNPACED)
        ) as server,
        routing([f"http://127.0.0.1:{server.port}"]) as router,
    ):
        for _ in range(scale.rounds):
            for way, target in {"direct": server, "routed": router}.items():
                times.add(way, *await _streamed(target, scale, len(load.fragment())))
    return times


async def _streamed(target: ServerProcess, scale: _Scale, fragment_bytes: int) -> tuple[float, float]:
    """Seconds, and CPU seconds of the target, while its sessions' clients read so many fragments in all.

    Raises RuntimeError when a session ends meanwhile.
    """
    first, last = scale.connections, scale.connections * (1 + scale.fragments)
    count, began_s, began_cpu_s = 0, 0.0, 0.0
    taken: asyncio.Future[tuple[float, float]] = asyncio.get_running_loop().create_future()
    opening = encode_client_message(SessionInitV2(curated_prompts=["a lighthouse"], loop_generation_enabled=True))

    async def read(connection: ClientConnection) -> None:
        nonlocal count, began_s, began_cpu_s
        # Until it is closed: a client that does not read would not see the server's close frame.
        async for frame in connection:
            if isinstance(frame, bytes) and len(frame) == fragment_bytes:
                count += 1
                if count == first:
                    began_s, began_cpu_s = time.perf_counter(), target.cpu_s()
                elif count == last:
                    taken.set_result((time.perf_counter() - began_s, target.cpu_s() - began_cpu_s))

    connections = [await _connect(target) for _ in range(scale.connections)]
    for connection in connections:
        await connection.send(opening)
    readers = [asyncio.create_task(read(connection)) for connection in connections]
    ends: list[asyncio.Future[Any]] = [taken, *readers]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.gather(*(connection.close() for connection in connections))
    await asyncio.gather(*readers)
    if not taken.done():
        raise RuntimeError("a session ended before its clients had read enough")
    return taken.result()


# --- transport alone


@contextlib.asynccontextmanager
async def _transport_ways() -> AsyncIterator[dict[str, ServerProcess]]:
    async with (
        module_server("benchmarks.bulk_server") as server,
        routing([f"http://127.0.0.1:{server.port}"]) as router,
        module_server("benchmarks.bare_relay", "--port", str(server.port)) as relay,
    ):
        yield {"direct": server, "routed": router, "relay": relay}


async def _connect(target: ServerProcess) -> ClientConnection:
    return await connect(target.stream_url, compression=None, max_size=None, proxy=None, ping_interval=None)


@contextlib.asynccontextmanager
async def _connected(
    targets: Mapping[str, ServerProcess], count: int
) -> AsyncIterator[dict[str, list[ClientConnection]]]:
    async with contextlib.AsyncExitStack() as stack:
        ways: dict[str, list[ClientConnection]] = {way: [] for way in targets}
        for way, target in targets.items():
            for _ in range(count):
                connection = await _connect(target)
                stack.push_async_callback(connection.close)
                await connection.send("opening")
                await connection.recv()
                ways[way].append(connection)
        yield ways


async def _round_trips(targets: Mapping[str, ServerProcess], count: int) -> list[float]:
    """Median milliseconds of a round trip of a small message to each target, in turns."""
    found_s: dict[str, list[float]] = {way: [] for way in targets}
    text = json.dumps({"type": "ping", "id": "0" * 32})
    async with _connected(targets, 1) as ways:
        for _ in range(count):
            for way, (connection,) in ways.items():
                began_s = time.perf_counter()
                await connection.send(text)
                await connection.recv()
                found_s[way].append(time.perf_counter() - began_s)
    return [statistics.median(times_s) * 1000 for times_s in found_s.values()]


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
    connection = await _connect(target)
    try:
        began_s = time.perf_counter()
        await connection.send(text)
        await connection.recv()
        return time.perf_counter() - began_s
    finally:
        await connection.close()


if __name__ == "__main__":
    sys.exit(main("router", __doc__, measure))
