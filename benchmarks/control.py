"""Round trip of a control message on the connections of eight sessions that stream, against a bare echo.

Ours: ``ping`` to ``pong`` through the server's receiver, session and sender, over two worker processes that hand on
media that is coded already. Bare: ``websockets`` alone (under uvloop, as ours), which echoes the same text and sends
the same media at the same pace. Beside it, without a goal: over the in-process pool, whose thread hands the media on,
or codes the eight streams itself. Phases of the first three alternate.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from websockets.asyncio.client import ClientConnection, connect

from benchmarks.clip import TINY, Size, clip_file
from benchmarks.replay import ReplayLoad
from benchmarks.report import Effort, Figure, Report, main
from benchmarks.server_process import ServerProcess, module_server
from fastvideo.entrypoints.streaming.protocol import Ping, SessionInitV2, encode_client_message

RATIO_GOAL = 3.0
_ANSWER_TIMEOUT_S = 10.0
_MEDIA_TIMEOUT_S = 30.0
# Uneven, so that pings do not keep step with the fragments.
_PAUSE_S = (0.002, 0.010)
_PHASES = {Effort.QUICK: (1, 0.3), Effort.NORMAL: (4, 5.0), Effort.LONG: (12, 10.0)}
_LOADS = {
    Effort.QUICK: ReplayLoad(sessions=2, segment_s=0.5),
    Effort.NORMAL: ReplayLoad(sessions=8),
    Effort.LONG: ReplayLoad(sessions=8),
}
_WORKERS = 2
_SMALL = Size("352p", 640, 352)
_CODED = {Effort.QUICK: TINY, Effort.NORMAL: _SMALL, Effort.LONG: _SMALL}


class Viewer:
    """A connection that takes media and counts it, and knows when an answer to its ping came."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._reader = asyncio.create_task(self._read())
        self._awaited = ""
        self._answered: asyncio.Future[float] | None = None
        self.media_bytes = 0
        self.streaming = asyncio.Event()

    async def streams(self) -> None:
        """Wait until media has come. Raises RuntimeError when the server ended the session instead."""
        streaming = asyncio.create_task(self.streaming.wait())
        await asyncio.wait({streaming, self._reader}, return_when=asyncio.FIRST_COMPLETED)
        streaming.cancel()
        if not self.streaming.is_set():
            raise RuntimeError("the server closed a session before it had sent media")

    async def round_trip_s(self, number: int) -> float:
        """Send a ping and wait for its answer."""
        loop = asyncio.get_running_loop()
        self._awaited = f'"{number:08d}"'
        self._answered = loop.create_future()
        text = encode_client_message(Ping(id=f"{number:08d}"))
        began_s = time.perf_counter()
        await self._connection.send(text)
        return await asyncio.wait_for(self._answered, _ANSWER_TIMEOUT_S) - began_s

    async def _read(self) -> None:
        async for frame in self._connection:
            if isinstance(frame, bytes):
                self.media_bytes += len(frame)
                self.streaming.set()
            elif self._answered is not None and not self._answered.done() and self._awaited in frame:
                self._answered.set_result(time.perf_counter())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()
        await self._reader


def measure(effort: Effort) -> Report:
    """Alternate phases of pings to ours and to the echo, under the same load."""
    load = _LOADS[effort]
    phases, phase_s = _PHASES[effort]
    found, sent_bytes = asyncio.run(_phases(load, phases, phase_s))
    ours, thread, echo = found["processes"], found["thread"], found["echo"]
    coding = asyncio.run(_while_coding(_CODED[effort], load.sessions, phase_s))
    coded = f"{load.sessions} x {_CODED[effort].width_px}x{_CODED[effort].height_px}"
    ours_ms, echo_ms = statistics.median(ours) * 1000, statistics.median(echo) * 1000
    note = f"{ours_ms:.3f} ms / {echo_ms:.3f} ms"
    figures = [
        Figure("round trip p50 / bare echo", ours_ms / echo_ms, "x", RATIO_GOAL, note),
        Figure("round trip p50", ours_ms, "ms"),
        Figure("round trip p99", p99_ms(ours), "ms", note=f"bare echo {p99_ms(echo):.3f} ms"),
        Figure(
            "round trip p50 over the in-process pool / bare echo",
            statistics.median(thread) * 1000 / echo_ms,
            "x",
            note=f"{statistics.median(thread) * 1000:.3f} ms, p99 {p99_ms(thread):.3f} ms",
        ),
        Figure(
            "round trip p50 while the worker codes",
            statistics.median(coding) * 1000,
            "ms",
            note=f"p99 {p99_ms(coding):.1f} ms; {coded}",
        ),
        Figure(
            "media sent / bare echo",
            sent_bytes["processes"] / sent_bytes["echo"],
            "x",
            note="the load was the same when near 1",
        ),
    ]
    against = f"websockets echo, {load.sessions} sessions of {load.megabit_s:g} Mbit/s each"
    samples = {**{name: len(times_s) for name, times_s in found.items()}, "coding": len(coding)}
    details = {"samples": samples, "sent_bytes": sent_bytes}
    return Report("control", effort, figures, against=against, details=details)


async def _phases(load: ReplayLoad, phases: int, phase_s: float) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds of each round trip, and the bytes of media in the same time, by whose they are."""
    sides = {
        "processes": (_opening(), "benchmarks.stream_server", "--workers", str(_WORKERS)),
        "thread": (_opening(), "benchmarks.stream_server"),
        "echo": ("stream", "benchmarks.echo_server"),
    }
    samples: dict[str, list[float]] = {name: [] for name in sides}
    sent_bytes = dict.fromkeys(sides, 0)
    for _ in range(phases):
        for name, (first, *server) in sides.items():
            async with _viewers(load.sessions, first, *server, "--replay", load.to_json()) as viewers:
                before = sum(viewer.media_bytes for viewer in viewers)
                samples[name] += await _round_trips(viewers, phase_s)
                sent_bytes[name] += sum(viewer.media_bytes for viewer in viewers) - before
    return samples, sent_bytes


async def _while_coding(size: Size, sessions: int, phase_s: float) -> list[float]:
    with clip_file(size) as path:
        lead = ("--lead-seconds", "8")
        async with _viewers(sessions, _opening(), "benchmarks.stream_server", "--clip", str(path), *lead) as viewers:
            return await _round_trips(viewers, phase_s)


def _opening() -> str:
    """A session that streams by itself."""
    return encode_client_message(SessionInitV2(curated_prompts=["a lighthouse"], loop_generation_enabled=True))


@contextlib.asynccontextmanager
async def _viewers(sessions: int, first: str, *server_arguments: str) -> AsyncIterator[list[Viewer]]:
    """Viewers of a server, once media has come to each of them."""
    async with module_server(*server_arguments) as server, contextlib.AsyncExitStack() as stack:
        yield await start_viewers(server, sessions, first, stack)


async def start_viewers(
    server: ServerProcess, sessions: int, first: str, stack: contextlib.AsyncExitStack
) -> list[Viewer]:
    """Viewers that all sent ``first`` at once, when media has come to each; they leave with ``stack``.

    Raises TimeoutError when it does not come, and RuntimeError when the server ended a session.
    """
    viewers = []
    for _ in range(sessions):
        connection = await connect(server.stream_url, compression=None, max_size=None)
        viewers.append(await stack.enter_async_context(Viewer(connection)))
        await connection.send(first)
    async with asyncio.timeout(_MEDIA_TIMEOUT_S):
        for viewer in viewers:
            await viewer.streams()
    return viewers


async def _round_trips(viewers: list[Viewer], phase_s: float) -> list[float]:
    rng = random.Random(0)
    ends_s = time.monotonic() + phase_s
    samples: list[float] = []
    while time.monotonic() < ends_s:
        samples.append(await viewers[len(samples) % len(viewers)].round_trip_s(len(samples)))
        await asyncio.sleep(rng.uniform(*_PAUSE_S))
    return samples


def p99_ms(samples: list[float]) -> float:
    """What 99 of 100 samples, in seconds, stay below, in milliseconds."""
    return statistics.quantiles(samples, n=100, method="inclusive")[98] * 1000


if __name__ == "__main__":
    sys.exit(main("control", __doc__, measure))
