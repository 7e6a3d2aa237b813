"""Memory of the server per session: idle, and streaming media at 5 Mbit/s; the coder's own beside it.

Unique memory of the server's process over what it had before the sessions came, divided by their number. Streaming
sessions get media that is coded already, so that no coder is counted: a worker has one coder at a time, however many
sessions there are. Bare: the same number of connections to ``websockets`` alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import statistics
import subprocess
import sys
import time

import numpy as np
import psutil
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.control import Viewer
from benchmarks.encode import FPS, sound
from benchmarks.replay import ReplayLoad
from benchmarks.report import Effort, Figure, Report, main
from benchmarks.segment import SIZES, Size
from benchmarks.server_process import ROOT, ServerProcess, module_server
from fastvideo.entrypoints.streaming.protocol import SessionInitV2, encode_client_message

IDLE_GOAL_KIB = 64.0
STREAMING_GOAL_KIB = 2048.0
_KIB = 1024
_SETTLE_S = 0.5
_SAMPLE_S = 0.1
_IDLE = {Effort.QUICK: 5, Effort.NORMAL: 200, Effort.LONG: 1000}
_STREAMING = {Effort.QUICK: (2, 0.5), Effort.NORMAL: (32, 15.0), Effort.LONG: (64, 120.0)}
_STARTED = '"ltx2_stream_start"'
_CODER_PICTURES = 30
_OPTION = "--coder"


def measure(effort: Effort) -> Report:
    """Idle sessions, bare connections, streaming sessions, coders."""
    idle = _IDLE[effort]
    streaming, watch_s = _STREAMING[effort]
    load = ReplayLoad(sessions=streaming)
    idle_kib = asyncio.run(_idle_kib("benchmarks.stream_server", idle))
    bare_kib = asyncio.run(_idle_kib("benchmarks.echo_server", idle))
    median_kib, most_kib = asyncio.run(_streaming_kib(load, watch_s))
    figures = [
        Figure("idle session", idle_kib, "KiB", IDLE_GOAL_KIB, f"{idle} sessions; bare connection {bare_kib:.1f} KiB"),
        Figure("streaming session", median_kib, "KiB", STREAMING_GOAL_KIB, f"{streaming} sessions, median over time"),
        Figure("streaming session, at most", most_kib, "KiB", STREAMING_GOAL_KIB, f"over {watch_s:g} s"),
    ]
    sizes = (Size("tiny", 128, 64, 12, None),) if effort is Effort.QUICK else SIZES
    for size in sizes:
        figures.append(Figure(f"coder at {size.name}", _coder_kib(size), "KiB", note="one per worker at a time"))
    return Report("memory", effort, figures, against="idle connections to a websockets server")


def _opening(*, streams: bool) -> str:
    prompts = ["a lighthouse"] if streams else []
    return encode_client_message(SessionInitV2(curated_prompts=prompts, loop_generation_enabled=streams))


async def _idle_kib(module: str, sessions: int) -> float:
    ours = module == "benchmarks.stream_server"
    arguments = ["--replay", ReplayLoad(sessions=1).to_json()]
    if ours:
        arguments += ["--max-sessions", str(2 * sessions)]
    async with module_server(module, *arguments) as server:
        # The first ones pay for what all share.
        before_bytes = await _with_idle(server, max(1, sessions // 4), ours=ours, keep=0)
        after_bytes = await _with_idle(server, sessions, ours=ours, keep=sessions)
    return (after_bytes - before_bytes) / sessions / _KIB


async def _with_idle(server: ServerProcess, sessions: int, *, ours: bool, keep: int) -> int:
    """The server's memory while ``keep`` of ``sessions`` idle ones are left."""
    connections: list[ClientConnection] = []
    try:
        for _ in range(sessions):
            connections.append(await connect(server.stream_url, compression=None))
            await connections[-1].send(_opening(streams=False) if ours else "hello")
        for connection in connections:
            await _answered(connection, until=_STARTED if ours else "hello")
        for connection in connections[keep:]:
            await connection.close()
        await asyncio.sleep(_SETTLE_S)
        return server.memory_bytes()
    finally:
        for connection in connections:
            await connection.close()


async def _answered(connection: ClientConnection, until: str) -> None:
    async for frame in connection:
        if isinstance(frame, str) and until in frame:
            return
    raise RuntimeError("the server closed an idle session")


async def _streaming_kib(load: ReplayLoad, watch_s: float) -> tuple[float, float]:
    arguments = ["--replay", load.to_json(), "--max-sessions", str(2 * load.sessions)]
    async with module_server("benchmarks.stream_server", *arguments) as server:
        before_bytes = await _with_idle(server, load.sessions, ours=True, keep=0)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(load.sessions):
                connection = await connect(server.stream_url, compression=None, max_size=None)
                viewer = await stack.enter_async_context(Viewer(connection))
                await connection.send(_opening(streams=True))
                await viewer.streaming.wait()
            samples = []
            ends_s = time.monotonic() + watch_s
            while time.monotonic() < ends_s:
                samples.append((server.memory_bytes() - before_bytes) / load.sessions / _KIB)
                await asyncio.sleep(_SAMPLE_S)
    return statistics.median(samples), max(samples)


def _coder_kib(size: Size) -> float:
    """What one open coder takes, in a process that has nothing else."""
    command = [sys.executable, "-m", "benchmarks.memory", _OPTION, str(size.width_px), str(size.height_px)]
    return float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def _print_coder_kib(width_px: int, height_px: int) -> None:
    from fastvideo.media.encoder import SegmentEncoder
    from fastvideo.media.timeline import AUDIO_RATE_HZ, MediaCursor

    process = psutil.Process()
    picture = np.random.default_rng(0).integers(0, 255, (1, height_px, width_px, 3), np.uint8)
    wave = sound(_CODER_PICTURES)

    def coder(width: int, height: int) -> SegmentEncoder:
        return SegmentEncoder(width=width, height=height, fps=FPS, cursor=MediaCursor.start(), encoder="libx264")

    with coder(64, 64) as first:
        # Tables and libraries that all coders share.
        first.push_audio(wave, AUDIO_RATE_HZ)
        first.push_video(np.zeros((2, 64, 64, 3), np.uint8))
    gc.collect()
    before_bytes = process.memory_full_info().uss
    with coder(width_px, height_px) as measured:
        measured.push_audio(wave, AUDIO_RATE_HZ)
        for _ in range(_CODER_PICTURES):
            measured.push_video(picture)
        print((process.memory_full_info().uss - before_bytes) / _KIB)


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == _OPTION:
        _print_coder_kib(int(sys.argv[2]), int(sys.argv[3]))
        sys.exit(0)
    sys.exit(main("memory", __doc__, measure))
