"""Inputs of clients that are wrong, and some that are right, at every parser: what they raise, and what they cost.

Each target is tried in a process of its own. Inputs are seeds that were changed, or built by hypothesis;
``--engine atheris`` has them made by coverage instead. After them come those that claim much for little.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.bombs import BOMBS
from benchmarks.fuzz_trial import LARGE_BYTES, SLOW_S
from benchmarks.report import Effort, Figure, Report, main
from benchmarks.server_process import ROOT

# A million in all.
_SHARES = {"messages": 0.4, "boxes": 0.25, "images": 0.15, "states": 0.15, "blobs": 0.05}
_INPUTS = {Effort.QUICK: 1_000, Effort.NORMAL: 20_000, Effort.LONG: 1_000_000}
_TIMEOUT_S = 6 * 3600
# What was freed before an input is given back, so that what it takes is seen.
_TUNABLES = "glibc.malloc.mmap_threshold=131072:glibc.malloc.trim_threshold=131072"
_ENGINES = {"own": "benchmarks.fuzz_trial", "atheris": "benchmarks.fuzz_guided"}
_MIB = 1 << 20


def measure(effort: Effort, engine: str = "own", seed: int = 0) -> Report:
    """Try all targets, then the bombs."""
    trials = {
        name: _trial(engine, name, "--count", f"{_INPUTS[effort] * share:.0f}", "--seed", str(seed))
        for name, share in _SHARES.items()
    }
    bombs: dict[str, Any] = {}
    for name in dict.fromkeys(kind for kind, _ in BOMBS):
        bombs |= {f"{name}: {bomb}": trial for bomb, trial in _trial("own", name, "--bombs").items()}
    return report(effort, trials, bombs)


def _trial(engine: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", _ENGINES[engine], *arguments]
    environment = {**os.environ, "GLIBC_TUNABLES": _TUNABLES, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, env=environment, timeout=_TIMEOUT_S, check=True)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def report(effort: Effort, trials: dict[str, dict[str, Any]], bombs: dict[str, dict[str, Any]]) -> Report:
    """What was found, as figures."""
    figures = []
    for name, trial in {**trials, "bombs": _together(bombs)}.items():
        refused = ", ".join(f"{count} {kind}" for kind, count in sorted(trial["refused"].items()))
        note = f"{trial['inputs']} inputs: {trial['taken']} taken, refused with {refused or 'nothing'}"
        large = trial["largest_bytes"]
        figures += [
            Figure(f"{name}: other than documented, slower or larger", float(len(trial["failures"])), "", 0.0, note),
            Figure(f"{name}: slowest, CPU time", trial["slowest_s"] * 1000, "ms", SLOW_S * 1000),
            Figure(
                f"{name}: most memory for one",
                None if large is None else large / _MIB,
                "MiB",
                LARGE_BYTES / _MIB,
                "only Linux tells" if large is None else "",
            ),
        ]
    return Report("fuzz", effort, figures, details={"trials": trials, "bombs": bombs})


def _together(trials: dict[str, dict[str, Any]]) -> dict[str, Any]:
    refused: dict[str, int] = {}
    for trial in trials.values():
        for kind in trial["refused"]:
            refused[kind] = refused.get(kind, 0) + 1
    sizes = [trial["largest_bytes"] for trial in trials.values()]
    return {
        "inputs": len(trials),
        "taken": sum(not trial["refused"] for trial in trials.values()),
        "refused": refused,
        "slowest_s": max(trial["slowest_s"] for trial in trials.values()),
        "largest_bytes": None if None in sizes else max(sizes),
        "failures": [failure for trial in trials.values() for failure in trial["failures"]],
    }


def _engine() -> str:
    """Takes ``--engine`` out of the arguments, which are the same for all benchmarks otherwise."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--engine", choices=_ENGINES, default="own")
    known, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    chosen: str = known.engine
    return chosen


if __name__ == "__main__":
    chosen_engine = _engine()
    sys.exit(main("fuzz", __doc__, lambda effort: measure(effort, chosen_engine)))
