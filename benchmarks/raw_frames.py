"""A result's frames out of a worker process, against a copy of the same bytes within one (numpy, which is memcpy).

Views: from the request until the last view is released; nothing is done with them, since what is measured is the way,
not the reader. ``run()``: until the result, which is an array of its own. Rounds of the three alternate; best of them.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import uvloop
from numpy.typing import NDArray

from benchmarks.bench_worker import BenchLaunch
from benchmarks.clip import FPS, SIZES, TINY, Size, clip_file, read_clip
from benchmarks.report import Effort, Figure, Report, main
from fastvideo.api.results import GenerationResult
from fastvideo.api.schema import GenerationRequest, GeneratorConfig, GpuPoolConfig, OutputConfig, SamplingConfig
from fastvideo.entrypoints.streaming.gpu_pool import SubprocessGpuPool

# 0.8 of its speed.
VIEWS_GOAL = 1.25
_ROUNDS = {Effort.QUICK: 1, Effort.NORMAL: 8, Effort.LONG: 30}
_SESSION = "bench"


def measure(effort: Effort) -> Report:
    """Time each size's clip on its way, and copied."""
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    for size in (TINY,) if effort is Effort.QUICK else SIZES:
        times_s = uvloop.run(_rounds(size, _ROUNDS[effort]))
        copy_s, views_s, run_s = (min(times_s[name]) for name in ("memcpy", "views", "run"))
        size_bytes = size.frames * size.height_px * size.width_px * 3
        speeds = f"{size_bytes / views_s / 1e9:.1f} GB/s / {size_bytes / copy_s / 1e9:.1f} GB/s"
        figures.append(Figure(f"{size.name}: views / memcpy", views_s / copy_s, "x", VIEWS_GOAL, speeds))
        speeds = f"{size_bytes / run_s / 1e9:.1f} GB/s; the result is copied out, into new memory"
        figures.append(Figure(f"{size.name}: run() / memcpy", run_s / copy_s, "x", note=speeds))
        details[size.name] = times_s
    return Report("raw_frames", effort, figures, against="numpy.copyto into memory that is there", details=details)


async def _rounds(size: Size, rounds: int) -> dict[str, list[float]]:
    """Seconds of each round, by name."""
    times_s: dict[str, list[float]] = {"memcpy": [], "views": [], "run": []}
    sampling = SamplingConfig(width=size.width_px, height=size.height_px, num_frames=size.frames, fps=FPS)
    request = GenerationRequest(prompt="", sampling=sampling, output=OutputConfig(save_video=False))
    with clip_file(size) as path:
        clip = read_clip(path)
        target = np.zeros_like(clip)
        pool = SubprocessGpuPool(
            GeneratorConfig("mock:"), pool_config=GpuPoolConfig(num_workers=1), launch=BenchLaunch("--clip", str(path))
        )
        try:
            await pool.start()
            await pool.acquire(_SESSION)
            # The first result pays for the ring.
            _check(clip, (await pool.run(_SESSION, request)).frames)
            for _ in range(rounds):
                began_s = time.perf_counter()
                np.copyto(target, clip)
                copied_s = time.perf_counter()
                await _view(pool, request)
                viewed_s = time.perf_counter()
                await pool.run(_SESSION, request)
                times_s["run"].append(time.perf_counter() - viewed_s)
                times_s["views"].append(viewed_s - copied_s)
                times_s["memcpy"].append(copied_s - began_s)
        finally:
            await pool.shutdown()
    return times_s


async def _view(pool: SubprocessGpuPool, request: GenerationRequest) -> None:
    async for item in pool.views(_SESSION, request):
        if not isinstance(item, GenerationResult):
            item.release()


def _check(clip: NDArray[np.uint8], frames: NDArray[np.uint8]) -> None:
    if not np.array_equal(clip, frames):
        raise RuntimeError("the frames that arrived are not those that were sent")


if __name__ == "__main__":
    sys.exit(main("raw_frames", __doc__, measure))
