"""How long starting takes: the command line against an empty Python, and ``fastvideo serve`` until it is ready.

``--help`` and ``python -c pass`` alternate, the best of each counts. Serving is measured for every shipped CPU config,
from starting the process until ``/readyz`` answers 200, its warm-up included; with an empty cache folder and again.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import Effort, Figure, Report, main
from benchmarks.server_process import ROOT, fastvideo_serve

HELP_GOAL_MS = 300.0
READY_GOAL_S = 60.0
_ROUNDS = {Effort.QUICK: 1, Effort.NORMAL: 10, Effort.LONG: 40}
# A size at which any config is warm at once.
_QUICK_OVERRIDES = (
    *("--default_request.sampling.width", "64"),
    *("--default_request.sampling.height", "64"),
    *("--default_request.sampling.num_frames", "25"),
    *("--default_request.sampling.num_inference_steps", "1"),
)


def shipped_configs() -> list[Path]:
    """The configs that a newcomer's machine serves."""
    return sorted((ROOT / "configs").glob("serve_*.yaml"))


def measure(effort: Effort, configs: list[Path] | None = None) -> Report:
    """The command line, then every config."""
    rounds = [(_run_ms(_help_command()), _run_ms([sys.executable, "-c", "pass"])) for _ in range(_ROUNDS[effort])]
    help_ms, python_ms = min(pair[0] for pair in rounds), min(pair[1] for pair in rounds)
    figures = [
        Figure("fastvideo --help", help_ms, "ms", HELP_GOAL_MS, f"python -c pass: {python_ms:.0f} ms"),
        Figure("fastvideo --help / python -c pass", help_ms / python_ms, "x"),
    ]
    overrides = _QUICK_OVERRIDES if effort is Effort.QUICK else ()
    for config in shipped_configs() if configs is None else configs:
        first_s, again_s = asyncio.run(_ready_s(config, overrides))
        figures.append(Figure(f"{config.stem} ready, empty cache", first_s, "s", READY_GOAL_S))
        figures.append(Figure(f"{config.stem} ready, again", again_s, "s", READY_GOAL_S))
    return Report("startup", effort, figures, against="python -c pass")


def _help_command() -> list[str]:
    return [str(Path(sys.executable).parent / "fastvideo"), "--help"]


def _run_ms(command: list[str]) -> float:
    began_s = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, cwd=ROOT)
    return (time.perf_counter() - began_s) * 1000


async def _ready_s(config: Path, overrides: tuple[str, ...]) -> tuple[float, float]:
    with tempfile.TemporaryDirectory(prefix="fastvideo-bench-") as cache:
        environment = {**os.environ, "XDG_CACHE_HOME": cache}
        async with fastvideo_serve(config, overrides, environment=environment) as (_, first_s):
            pass
        async with fastvideo_serve(config, overrides, environment=environment) as (_, again_s):
            pass
    return first_s, again_s


if __name__ == "__main__":
    sys.exit(main("startup", __doc__, measure))
