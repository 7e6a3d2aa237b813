"""From a worker's sending a fragment to the pool's event, with eight sessions over two worker processes.

The workers hand on media that is coded already, 5 Mbit/s a session, in the turns and at the pace at which they would
make it. Bare: processes of their own that write the same bytes at the same moments to a socket pair, read by an asyncio
protocol (under uvloop, as ours). Phases of the two alternate.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import uvloop

from benchmarks.bench_worker import BenchLaunch
from benchmarks.control import p99_ms
from benchmarks.replay import ReplayLoad
from benchmarks.replay_segment import sent_s, stamped
from benchmarks.report import Effort, Figure, Report, main
from benchmarks.server_process import ROOT
from fastvideo.api.schema import GenerationRequest, GeneratorConfig, GpuPoolConfig, OutputConfig
from fastvideo.entrypoints.streaming.gpu_pool import SubprocessGpuPool
from fastvideo.entrypoints.streaming.segment_events import SegmentDone, SegmentFragment, SegmentJob
from fastvideo.media.timeline import MediaCursor

P50_GOAL_MS = 1.0
P99_GOAL_MS = 10.0
_WORKERS = 2
# Sessions of one worker, which takes them in turns.
_LOADS = {
    Effort.QUICK: ReplayLoad(sessions=1, segment_s=0.5),
    Effort.NORMAL: ReplayLoad(sessions=4),
    Effort.LONG: ReplayLoad(sessions=4),
}
_PHASES = {Effort.QUICK: (1, 0.5), Effort.NORMAL: (4, 10.0), Effort.LONG: (12, 20.0)}
_OPTION = "--bare-sender"


def measure(effort: Effort) -> Report:
    """Alternate phases of the pool and of bare sockets, under the same load."""
    load = _LOADS[effort]
    phases, phase_s = _PHASES[effort]
    ours, bare = uvloop.run(_phases(load, phases, phase_s))
    ours_ms, bare_ms = statistics.median(ours) * 1000, statistics.median(bare) * 1000
    figures = [
        Figure("worker to pool p50", ours_ms, "ms", P50_GOAL_MS),
        Figure("worker to pool p99", p99_ms(ours), "ms", P99_GOAL_MS, f"worst {max(ours) * 1000:.1f} ms"),
        Figure("p50 / bare socket", ours_ms / bare_ms, "x", note=f"{ours_ms:.3f} ms / {bare_ms:.3f} ms"),
        Figure("bare socket p99", p99_ms(bare), "ms", note=f"worst {max(bare) * 1000:.1f} ms"),
    ]
    sessions = f"{_WORKERS * load.sessions} sessions of {load.megabit_s:g} Mbit/s over {_WORKERS} processes"
    against = f"asyncio over socket pairs, {sessions}"
    return Report("fragments", effort, figures, against=against, details={"samples": [len(ours), len(bare)]})


async def _phases(load: ReplayLoad, phases: int, phase_s: float) -> tuple[list[float], list[float]]:
    """Seconds from sending to reading, of the pool's fragments and of the bare ones."""
    ours: list[float] = []
    bare: list[float] = []
    for _ in range(phases):
        async with _pool(load) as pool:
            await _stream(pool, load, phase_s, ours)
        await _read_bare(load, phase_s, bare)
    return ours, bare


@contextlib.asynccontextmanager
async def _pool(load: ReplayLoad) -> AsyncIterator[SubprocessGpuPool]:
    pool = SubprocessGpuPool(
        GeneratorConfig("mock:"),
        pool_config=GpuPoolConfig(num_workers=_WORKERS, sessions_per_worker=load.sessions),
        launch=BenchLaunch("--replay", load.to_json()),
    )
    try:
        await pool.start()
        yield pool
    finally:
        await pool.shutdown()


async def _stream(pool: SubprocessGpuPool, load: ReplayLoad, phase_s: float, samples: list[float]) -> None:
    async def session(name: str) -> None:
        await pool.acquire(name)
        cursor, index = MediaCursor.start(), 0
        while time.monotonic() < ends_s:
            request = GenerationRequest(prompt=name, output=OutputConfig(save_video=False))
            async with contextlib.aclosing(pool.stream(name, SegmentJob(request, cursor, index))) as events:
                async for event in events:
                    if isinstance(event, SegmentFragment):
                        samples.append(time.monotonic() - sent_s(event.data))
                    elif isinstance(event, SegmentDone):
                        cursor, index = event.cursor, index + 1

    ends_s = time.monotonic() + phase_s
    async with asyncio.TaskGroup() as group:
        for number in range(_WORKERS * load.sessions):
            group.create_task(session(f"session-{number}"))


class _BareReader(asyncio.Protocol):
    """Takes fragments of one size and notes how long each was on its way; ``done`` is set at the end."""

    def __init__(self, size_bytes: int, samples: list[float]) -> None:
        self._size_bytes = size_bytes
        self._samples = samples
        self._received = bytearray()
        self.done = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= self._size_bytes:
            self._samples.append(time.monotonic() - sent_s(self._received))
            del self._received[: self._size_bytes]

    def connection_lost(self, exc: Exception | None) -> None:
        self.done.set()


async def _read_bare(load: ReplayLoad, phase_s: float, samples: list[float]) -> None:
    loop = asyncio.get_running_loop()
    senders = []
    for _ in range(_WORKERS):
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "benchmarks.fragments", _OPTION]
            command += [str(theirs.fileno()), load.to_json(), str(phase_s)]
            process = subprocess.Popen(command, cwd=ROOT, pass_fds=(theirs.fileno(),))  # noqa: ASYNC220
        _, reader = await loop.create_unix_connection(lambda: _BareReader(len(load.fragment()), samples), sock=ours)
        senders.append((process, reader))
    for process, reader in senders:
        await reader.done.wait()
        process.wait()


def _send_bare(descriptor: int, load: ReplayLoad, phase_s: float) -> None:
    fragment = load.fragment()
    began_s = time.monotonic()
    with socket.socket(fileno=descriptor) as connection:
        for index in range(round(phase_s / load.spacing_s)):
            connection.sendall(stamped(fragment))
            time.sleep(max(0.0, began_s + (index + 1) * load.spacing_s - time.monotonic()))


if __name__ == "__main__":
    if len(sys.argv) == 5 and sys.argv[1] == _OPTION:
        _send_bare(int(sys.argv[2]), ReplayLoad.from_json(sys.argv[3]), float(sys.argv[4]))
        sys.exit(0)
    sys.exit(main("fragments", __doc__, measure))
