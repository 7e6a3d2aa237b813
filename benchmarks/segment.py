"""A segment through the server, from frames that are ready in the worker to the last byte at a client, against bare
ffmpeg and against PyAV alone on the same frames with the same settings.

Ours: wall seconds from the first frame ready until the client has the last fragment; CPU seconds of the server process
from there until the segment is announced complete. ffmpeg: from the start of the program to its end, CPU of that
process alone. PyAV: coding into its own muxer in memory, nothing else. Rounds alternate; the best of each counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bare_pyav import bare_pyav
from benchmarks.encode import Cost, bare_ffmpeg, moving_picture, sound
from benchmarks.report import Effort, Figure, Report, main
from benchmarks.server_process import ServerProcess, module_server
from fastvideo.client import StreamClient
from fastvideo.client.stream_protocol import MediaFragment
from fastvideo.entrypoints.streaming.protocol import ErrorMessage, Ltx2SegmentComplete

WALL_GOAL = 1.05
CPU_GOAL = 1.10
NO_FFMPEG = "no ffmpeg program on the PATH; install it (Debian: apt-get install ffmpeg)"


@dataclass(frozen=True)
class Size:
    """A picture size, and what its first fragment may cost; ``frames`` per segment."""

    name: str
    width_px: int
    height_px: int
    frames: int
    first_fragment_goal_ms: float | None


SIZES = (Size("576p", 1024, 576, 121, 60.0), Size("1080p", 1920, 1088, 121, 100.0))
_QUICK_SIZES = (Size("tiny", 128, 64, 12, None),)
_ROUNDS = {Effort.QUICK: 1, Effort.NORMAL: 5, Effort.LONG: 15}


def measure(effort: Effort) -> Report:
    """Every size, in turn."""
    program = shutil.which("ffmpeg")
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    for size in _QUICK_SIZES if effort is Effort.QUICK else SIZES:
        served, program_costs, pyav_costs = asyncio.run(_rounds(size, program, _ROUNDS[effort]))
        figures += _figures(size, served, program_costs, pyav_costs)
        details[size.name] = {
            "size": asdict(size),
            "served": [asdict(cost) for cost in served],
            "ffmpeg": [asdict(cost) for cost in program_costs],
            "pyav": [asdict(cost) for cost in pyav_costs],
        }
    return Report("segment", effort, figures, against=f"{_version(program)}; PyAV {_pyav_version()}", details=details)


def _figures(size: Size, served: list[Cost], program: list[Cost], pyav: list[Cost]) -> list[Figure]:
    wall_s, cpu_s = min(cost.wall_s for cost in served), min(cost.cpu_s for cost in served)
    figures = []
    for tool, costs, goals in (("ffmpeg", program, (WALL_GOAL, CPU_GOAL)), ("PyAV", pyav, (None, None))):
        for part, ours_s, bare_s, goal in (
            ("wall", wall_s, min((cost.wall_s for cost in costs), default=None), goals[0]),
            ("CPU", cpu_s, min((cost.cpu_s for cost in costs), default=None), goals[1]),
        ):
            ratio = ours_s / bare_s if bare_s else None
            note = f"{ours_s:.3f} s / {bare_s:.3f} s" if bare_s else NO_FFMPEG
            figures.append(Figure(f"{size.name} {part} / {tool}", ratio, "x", goal, note))
    first_ms = min(cost.first_fragment_ms for cost in served)
    goal_ms = size.first_fragment_goal_ms
    figures.append(Figure(f"{size.name} first frame ready to first fragment", first_ms, "ms", goal_ms, "best"))
    return figures


async def _rounds(size: Size, program: str | None, rounds: int) -> tuple[list[Cost], list[Cost], list[Cost]]:
    served: list[Cost] = []
    program_costs: list[Cost] = []
    pyav_costs: list[Cost] = []
    with clip_file(size) as path:
        clip, wave = np.load(path, mmap_mode="c"), sound(size.frames)
        clip.max()
        async with (
            module_server("benchmarks.stream_server", "--clip", str(path)) as server,
            await StreamClient.connect(server.stream_url) as client,
        ):
            await client.started()
            for _ in range(rounds):
                served.append(await _served(client, server))
                # Nothing else may run meanwhile, so these block.
                if program is not None:
                    program_costs.append(bare_ffmpeg(program, clip, wave))
                pyav_costs.append(bare_pyav(clip, wave))
    return served, program_costs, pyav_costs


async def _served(client: StreamClient, server: ServerProcess) -> Cost:
    await client.prompt("a lighthouse on a headland at dawn")
    first_s = last_s = 0.0
    size_bytes = 0
    async for event in client:
        match event:
            case MediaFragment():
                last_s = time.monotonic()
                first_s = first_s or last_s
                size_bytes += len(event.data)
            case Ltx2SegmentComplete():
                break
            case ErrorMessage():
                raise RuntimeError(event.message)
    cpu_s = server.cpu_s()
    stamps = await server.line()
    ready_s = stamps["ready_s"]
    return Cost(last_s - ready_s, cpu_s - stamps["ready_cpu_s"], size_bytes, (first_s - ready_s) * 1000)


@contextlib.contextmanager
def clip_file(size: Size) -> Iterator[Path]:
    """The frames of a segment in a file that two processes can map, in memory where the system has such a place."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="fastvideo-bench-", dir=memory) as folder:
        path = Path(folder) / "clip.npy"
        clip: NDArray[np.uint8] = moving_picture(size.width_px, size.height_px, size.frames)
        np.save(path, clip)
        yield path


def _version(program: str | None) -> str:
    if program is None:
        return NO_FFMPEG
    text = subprocess.run([program, "-version"], capture_output=True, text=True, check=True).stdout
    return " ".join(text.split()[:3])


def _pyav_version() -> str:
    import av

    return av.__version__


if __name__ == "__main__":
    sys.exit(main("segment", __doc__, measure))
