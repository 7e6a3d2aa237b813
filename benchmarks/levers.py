"""What each switch of the engine is worth: one clip of LTX-2 with random weights, with all of them, and without each.

The model, the clip and the weights are those of the benchmark ``pipeline``; rounds go by turns, and the least time of
each is taken, since what else a machine does only adds to it. Only what a CPU has is measured here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from benchmarks.pipeline import QUICK, Options
from benchmarks.pipeline_model import random_components
from benchmarks.pipeline_sides import Clip, Ours
from benchmarks.report import Effort, Figure, Report, main
from fastvideo.api.schema import EngineConfig
from fastvideo.models.ltx2.linear import use_onednn

NAME = "levers"
_CPU = torch.device("cpu")
_TIME_LIMIT_S = 240.0


@dataclass(frozen=True)
class Lever:
    """A setting of ``engine``, and what turns it off."""

    setting: str
    off: Callable[[EngineConfig], EngineConfig]


LEVERS = (
    Lever("onednn_linears", lambda engine: replace(engine, onednn_linears=False)),
    Lever("keep_text_keys", lambda engine: replace(engine, keep_text_keys=False)),
)


def measure(effort: Effort) -> Report:
    """All on, and each off alone; a figure is the time with the switch on over that without."""
    options = replace(QUICK if effort is Effort.QUICK else Options(), device="cpu")
    rounds = {Effort.QUICK: 1, Effort.NORMAL: 5, Effort.LONG: 15}[effort]
    end_s = time.monotonic() + _TIME_LIMIT_S * max(1, rounds / 5)
    threads = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    try:
        clips = _clips(options, rounds, end_s)
    finally:
        torch.set_num_threads(threads)
    figures = []
    for part in ("denoise", "clip"):
        times_s = {name: min(_time_s(clip, part) for clip in found) for name, found in clips.items()}
        for lever in LEVERS:
            on_s, off_s = times_s[""], times_s[lever.setting]
            goal = 1.0 if part == "clip" else None
            figures.append(
                Figure(f"{lever.setting}: {part}, on / off", on_s / off_s, "x", goal, f"{on_s:.2f} s / {off_s:.2f} s")
            )
    details = {name or "all on": [_time_s(clip, "clip") for clip in found] for name, found in clips.items()}
    return Report(NAME, effort, figures, against="the same pipeline without the switch", details=details)


def _clips(options: Options, rounds: int, end_s: float) -> dict[str, list[Clip]]:
    """The times of clips with everything on, under "", and without each lever; none but the first after ``end_s``."""
    components = random_components(options.size, device=_CPU, dtype=torch.float32)
    engines = {"": EngineConfig(), **{lever.setting: lever.off(EngineConfig()) for lever in LEVERS}}
    sides = {
        name: Ours(components, options.shape, _CPU, keep_text_keys=engine.keep_text_keys)
        for name, engine in engines.items()
    }
    clips: dict[str, list[Clip]] = {name: [] for name in engines}

    def run(name: str) -> Clip:
        for part in (components.connectors, components.transformer):
            use_onednn(part, engines[name].onednn_linears)
        return sides[name].run().without_media()

    run("")
    for turn in range(rounds):
        if turn and time.monotonic() > end_s:
            break
        for name in engines if turn % 2 == 0 else reversed(engines):
            clips[name].append(run(name))
    return clips


def _time_s(clip: Clip, part: str) -> float:
    return clip.total_s if part == "clip" else clip.stages_s[part]


if __name__ == "__main__":
    sys.exit(main(NAME, __doc__, measure))
