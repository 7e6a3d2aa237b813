"""LTX-2 with random weights of any size: one clip from our pipeline against diffusers', with the same weights.

Both run uncompiled, then with the transformer's blocks compiled, in the same process, type, threads, noise, noise
levels, without guidance, until pictures and sound lie in host memory. Before anything is timed, both have to have made
the same clip. Rounds alternate; figures are medians. ``--json`` has ``ratio_to_diffusers``: diffusers' time over ours,
the smaller of the two ratios.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import diffusers
import torch

from benchmarks.pipeline_model import ModelSize, random_components
from benchmarks.pipeline_sides import STAGES, Clip, ClipShape, Diffusers, Ours, Side, agreement_db, peak_memory
from benchmarks.report import Effort, Figure, Report, table
from fastvideo.models.ltx2.linear import use_onednn

NAME = "pipeline"
RATIO_KEY = "ratio_to_diffusers"
# At least that much of diffusers' time for one of ours.
RATIO_GOAL = 1.3
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# The least agreement of pictures and of sound in dB (see ``agreement_db``): the same, but for rounding.
_SAME_DB = {"fp32": (55.0, 50.0), "bf16": (20.0, 5.0)}
_FULL = ModelSize()
_SMALL = replace(_FULL, width=512, blocks=8, text_layers=4)


@dataclass(frozen=True)
class Options:
    """What is compared. ``backend`` is ``torch.compile``'s, ``onednn`` says how our linear layers run on a CPU, and no
    round begins after ``time_limit_s``."""

    size: ModelSize = _SMALL
    shape: ClipShape = field(default_factory=lambda: ClipShape(352, 640, frames=57, steps=8))
    device: str = "cuda" if torch.cuda.is_available() else "cpu"
    dtype: str = "fp32"
    threads: int = os.cpu_count() or 1
    rounds: int = 5
    backend: str = "inductor"
    modes: tuple[str, ...] = ("eager", "compiled")
    onednn: bool = True
    time_limit_s: float = 400.0


QUICK = Options(
    size=ModelSize(width=128, blocks=1, text_layers=1, text_tokens=128),
    shape=ClipShape(64, 64, frames=9, steps=2),
    # Of so little, two threads would only wait for each other.
    threads=1,
    rounds=1,
    backend="eager",
)


def compare(options: Options, effort: Effort = Effort.NORMAL) -> Report:
    """Build both, see that they agree, and time them. Raises RuntimeError when they do not make the same clip."""
    began_s = time.monotonic()
    # It warns of latents without axes, which is how it takes noise as it is.
    diffusers.logging.set_verbosity_error()
    threads = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    try:
        device = torch.device(options.device)
        components = random_components(options.size, device=device, dtype=_DTYPES[options.dtype])
        for part in (components.connectors, components.transformer):
            use_onednn(part, options.onednn)
        ours = Ours(components, options.shape, device)
        sides = (ours, Diffusers(components, options.shape, device, ours.audio_tokens))
        details: dict[str, Any] = {"options": asdict(options), "tokens": options.shape.tokens, "modes": {}}
        for index, mode in enumerate(options.modes):
            if mode == "compiled":
                for side in sides:
                    side.compile(options.backend)
            end_s = began_s + options.time_limit_s * (index + 1) / len(options.modes)
            details["modes"][mode] = _mode(sides, options, device, end_s)
    finally:
        torch.set_num_threads(threads)
    return Report(
        NAME,
        effort,
        [figure for mode, found in details["modes"].items() for figure in _figures(mode, found, options)],
        against="diffusers' LTX2Pipeline with the same weights",
        details=details,
    )


def ratio_to_diffusers(report: Report) -> float:
    """Diffusers' time over ours: the smallest ratio of all modes."""
    return min(float(found["ratio"]) for found in report.details["modes"].values())


def _mode(sides: Sequence[Side], options: Options, device: torch.device, end_s: float) -> dict[str, Any]:
    """Both sides as they are: a first run that compiles and is compared, then rounds by turns, of
    which none but the first begins after ``end_s``."""
    first: dict[str, Clip] = {}
    memory_bytes: dict[str, int] = {}
    for side in sides:
        gc.collect()
        with peak_memory(device) as peak:
            first[side.name] = side.run()
        memory_bytes[side.name] = peak.held_bytes
    agreement = agreement_db(*(first[side.name] for side in sides))
    if any(found < least for found, least in zip(agreement, _SAME_DB[options.dtype], strict=True)):
        raise RuntimeError(
            f"the clips differ: pictures agree to {agreement[0]:.1f} dB, sound to {agreement[1]:.1f} dB; expected "
            f"at least {_SAME_DB[options.dtype]}"
        )
    first.clear()
    clips: dict[str, list[Clip]] = {side.name: [] for side in sides}
    for turn in range(options.rounds):
        if turn and time.monotonic() > end_s:
            break
        for side in sides if turn % 2 == 0 else reversed(sides):
            # Of a clip that is counted only its times are kept.
            clips[side.name].append(side.run().without_media())
    found: dict[str, Any] = {"agreement_db": agreement, "rounds": len(clips[sides[0].name])}
    for side in sides:
        runs = clips[side.name]
        found[side.name] = {
            "total_s": statistics.median(run.total_s for run in runs),
            "cpu_s": statistics.median(run.cpu_s for run in runs),
            **{f"{stage}_s": statistics.median(run.stages_s[stage] for run in runs) for stage in STAGES},
            "realtime_factor": statistics.median(run.total_s for run in runs) / options.shape.playback_s,
            "peak_memory_bytes": memory_bytes[side.name],
            "totals_s": [run.total_s for run in runs],
        }
    ours, theirs = (found[side.name] for side in sides)
    found["ratio"] = theirs["total_s"] / ours["total_s"]
    return found


def _figures(mode: str, found: dict[str, Any], options: Options) -> list[Figure]:
    ours, theirs = found["ours"], found["diffusers"]

    def compared(name: str, key: str, goal: float | None = None) -> Figure:
        note = f"{ours[key]:.2f} s / {theirs[key]:.2f} s"
        return Figure(f"{mode}: {name}, ours / diffusers", ours[key] / theirs[key], "x", goal, note)

    memory = [side["peak_memory_bytes"] / 2**20 for side in (ours, theirs)]
    return [
        compared("clip", "total_s", 1 / RATIO_GOAL),
        *(compared(stage, f"{stage}_s") for stage in STAGES),
        compared("CPU seconds", "cpu_s"),
        Figure(
            f"{mode}: generation / playback",
            ours["realtime_factor"],
            "x",
            note=f"{options.shape.playback_s:.1f} s; diffusers {theirs['realtime_factor']:.2f}",
        ),
        Figure(f"{mode}: peak memory beside the weights", memory[0], "MiB", note=f"diffusers {memory[1]:.0f} MiB"),
    ]


def measure(effort: Effort) -> Report:
    """The small model on this machine; the quick form is a tiny one, compiled without a compiler."""
    rounds = {Effort.QUICK: 1, Effort.NORMAL: 5, Effort.LONG: 15}[effort]
    if effort is Effort.QUICK:
        return compare(QUICK, effort)
    return compare(replace(Options(), rounds=rounds, time_limit_s=400.0 * rounds / 5), effort)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{NAME}", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = Options()
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument("--long", dest="effort", action="store_const", const=Effort.LONG, help="three times the rounds")
    effort.add_argument("--quick", dest="effort", action="store_const", const=Effort.QUICK, help="only shows it runs")
    parser.add_argument("--json", type=Path, help="write the report here instead of into benchmarks/results")
    parser.add_argument("--full", action="store_true", help="the published sizes, instead of a small model")
    parser.add_argument("--model-version", choices=("2.0", "2.3"), help=f"default {usual.size.version}")
    parser.add_argument("--width", type=int, help=f"channels, a multiple of 128 (default {usual.size.width})")
    parser.add_argument("--blocks", type=int, help=f"of the transformer (default {usual.size.blocks})")
    parser.add_argument("--text-layers", type=int, help=f"of the text encoder (default {usual.size.text_layers})")
    parser.add_argument("--height", type=int, default=usual.shape.height_px, help="px, a multiple of 32")
    parser.add_argument("--width-px", type=int, default=usual.shape.width_px, help="px, a multiple of 32")
    parser.add_argument("--frames", type=int, default=usual.shape.frames, help="8k+1")
    parser.add_argument("--steps", type=int, default=usual.shape.steps, help="1 to 8")
    parser.add_argument("--device", default=usual.device, help="cpu or cuda")
    parser.add_argument("--dtype", choices=sorted(_DTYPES), help="default bf16 on a GPU, fp32 on a CPU")
    parser.add_argument("--threads", type=int, default=usual.threads, help="of both (default: all cores)")
    parser.add_argument("--rounds", type=int, help=f"default {usual.rounds}")
    parser.add_argument("--modes", nargs="+", choices=usual.modes, default=usual.modes)
    parser.add_argument("--blas", action="store_true", help="our linear layers through PyTorch's BLAS, as diffusers'")
    parser.add_argument("--time-limit", type=float, help="seconds after which no round begins")
    arguments = parser.parse_args()
    if arguments.effort is Effort.QUICK:
        report = measure(Effort.QUICK)
    else:
        report = compare(_options(arguments), arguments.effort or Effort.NORMAL)
    print(table([report]))
    print(f"against: {report.against}")
    ratio = ratio_to_diffusers(report)
    print(f"{RATIO_KEY}: {ratio:.3f} (goal {RATIO_GOAL})")
    report.write(arguments.json, {RATIO_KEY: ratio})
    return 0


def _options(arguments: argparse.Namespace) -> Options:
    chosen = {
        "version": arguments.model_version,
        "width": arguments.width,
        "blocks": arguments.blocks,
        "text_layers": arguments.text_layers,
    }
    times = 3 if arguments.effort is Effort.LONG else 1
    usual = Options()
    return Options(
        size=replace(
            _FULL if arguments.full else _SMALL, **{key: value for key, value in chosen.items() if value is not None}
        ),
        shape=ClipShape(arguments.height, arguments.width_px, frames=arguments.frames, steps=arguments.steps),
        device=arguments.device,
        dtype=arguments.dtype or ("fp32" if arguments.device == "cpu" else "bf16"),
        threads=arguments.threads,
        rounds=arguments.rounds or times * usual.rounds,
        modes=tuple(arguments.modes),
        onednn=not arguments.blas,
        time_limit_s=arguments.time_limit or times * usual.time_limit_s,
    )


if __name__ == "__main__":
    sys.exit(main())
