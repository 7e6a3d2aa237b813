"""Memory of the server per session: idle, and streaming media at 5 Mbit/s; beside it the coder and the kept state.

Unique memory of the server's process over what it had before the sessions came, divided by their number. Streaming
sessions get media that is coded already, so that no coder is counted: a worker has one coder at a time, however many
sessions there are, and nothing is kept for clients that come back: that is measured beside it. LTX-2's continuation
state is measured on its own, too, because it depends on the picture's size.
Bare: the same number of connections to ``websockets`` alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import statistics
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import psutil
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.clip import FPS, SIZES, TINY, Size, clip_file, sound
from benchmarks.control import start_viewers
from benchmarks.ready_generator import TRAILING_FRAMES
from benchmarks.replay import ReplayLoad
from benchmarks.report import Effort, Figure, Report, main
from benchmarks.server_process import ROOT, ServerProcess, module_server
from fastvideo.client import StreamClient
from fastvideo.entrypoints.streaming.outbox import KEPT_BYTES
from fastvideo.entrypoints.streaming.protocol import SessionInitV2, encode_client_message

IDLE_GOAL_KIB = 64.0
STREAMING_GOAL_KIB = 2048.0
_KIB = 1024
_SETTLE_S = 0.5
_SAMPLE_S = 0.1
_IDLE = {Effort.QUICK: 5, Effort.NORMAL: 200, Effort.LONG: 1000}
_STREAMING = {
    Effort.QUICK: (ReplayLoad(sessions=2, segment_s=0.5), 0.5),
    Effort.NORMAL: (ReplayLoad(sessions=32), 15.0),
    Effort.LONG: (ReplayLoad(sessions=64), 120.0),
}
_STATE_SESSIONS = 4
_STATE_FRAMES = 12
# Without it the C library keeps large blocks that were freed, as many as were ever needed at once: several times the
# state, by chance. What is kept would be lost in that.
_GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": str(128 << 10)}
_STARTED = '"ltx2_stream_start"'
_CODER_PICTURES = 30
_OPTION = "--coder"


def measure(effort: Effort) -> Report:
    """Idle sessions, bare connections, streaming sessions, coders."""
    idle = _IDLE[effort]
    load, watch_s = _STREAMING[effort]
    idle_kib = asyncio.run(_idle_kib("benchmarks.stream_server", idle))
    bare_kib = asyncio.run(_idle_kib("benchmarks.echo_server", idle))
    median_kib, most_kib = asyncio.run(_streaming_kib(load, watch_s, grace_s=0.0))
    _, resumable_kib = asyncio.run(_streaming_kib(load, watch_s, grace_s=30.0))
    figures = [
        Figure("idle session", idle_kib, "KiB", IDLE_GOAL_KIB, f"{idle} sessions; bare connection {bare_kib:.1f} KiB"),
        Figure("streaming session", median_kib, "KiB", STREAMING_GOAL_KIB, f"{load.sessions} sessions, median"),
        Figure("streaming session, at most", most_kib, "KiB", STREAMING_GOAL_KIB, f"over {watch_s:g} s"),
        Figure(
            "kept for a client that comes back, at most",
            max(0.0, resumable_kib - most_kib),
            "KiB",
            KEPT_BYTES / _KIB,
            f"a streaming session with streaming.resume on, {watch_s:g} s after its start, less one without",
        ),
    ]
    for size in (TINY,) if effort is Effort.QUICK else SIZES:
        figures.append(Figure(f"coder at {size.name}", _coder_kib(size), "KiB", note="one per worker at a time"))
        state_kib = asyncio.run(_state_kib(replace(size, frames=_STATE_FRAMES)))
        note = f"kept per session between segments: {TRAILING_FRAMES} frames as PNG"
        figures.append(Figure(f"continuation state at {size.name}", state_kib, "KiB", note=note))
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


async def _streaming_kib(load: ReplayLoad, watch_s: float, *, grace_s: float) -> tuple[float, float]:
    arguments = ["--replay", load.to_json(), "--max-sessions", str(2 * load.sessions), "--grace-seconds", str(grace_s)]
    async with module_server("benchmarks.stream_server", *arguments) as server:
        before_bytes = await _with_idle(server, load.sessions, ours=True, keep=0)
        async with contextlib.AsyncExitStack() as stack:
            # All at once: one after the other, each would wait for a turn among ever more of them.
            await start_viewers(server, load.sessions, _opening(streams=True), stack)
            samples = []
            ends_s = time.monotonic() + watch_s
            while time.monotonic() < ends_s:
                samples.append((server.memory_bytes() - before_bytes) / load.sessions / _KIB)
                await asyncio.sleep(_SAMPLE_S)
    return statistics.median(samples), max(samples)


async def _state_kib(size: Size) -> float:
    """What sessions that have made a segment keep, with the same frames for each."""
    with clip_file(size) as path:
        async with (
            module_server(
                *("benchmarks.stream_server", "--clip", str(path), "--carry-state"), environment=_GIVE_BACK
            ) as server,
            contextlib.AsyncExitStack() as stack,
        ):
            # Two segments each: the second has read what the first one wrote.
            await _continued_session(server, stack)
            await asyncio.sleep(_SETTLE_S)
            before_bytes = server.memory_bytes()
            for _ in range(_STATE_SESSIONS):
                await _continued_session(server, stack)
            await asyncio.sleep(_SETTLE_S)
            return (server.memory_bytes() - before_bytes) / _STATE_SESSIONS / _KIB


async def _continued_session(server: ServerProcess, stack: contextlib.AsyncExitStack) -> None:
    client = await stack.enter_async_context(await StreamClient.connect(server.stream_url))
    for _ in range(2):
        await client.segment("a lighthouse")


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
