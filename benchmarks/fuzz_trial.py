"""One process that puts inputs to a target, and watches each: what it raises, its CPU time, its memory.

Prints one JSON object. ``--bomb NAME`` tries that alone; else ``--count`` inputs from ``--seed``.
"""

from __future__ import annotations

import argparse
import base64
import gc
import json
import random
import sys
import time
import warnings
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as hypothesis_seed

from benchmarks.allocated import give_back_free_memory
from benchmarks.bombs import BOMBS
from benchmarks.fuzz_targets import TARGETS, Target

SLOW_S = 0.1
LARGE_BYTES = 64 << 20
# One input in so many has the right form from the start; to make such ones takes the longest.
_STRUCTURED = 20
_AGAIN = 2
_MOST_KEPT = 20
_SHOWN_BYTES = 3000
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


@dataclass
class Trial:
    """What came of all inputs. ``slowest_s``: CPU time of the thread; ``largest_bytes``: memory at most, beside what
    there was before an input; None where that cannot be seen. ``failures``: what should not have been."""

    inputs: int = 0
    taken: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    slowest_s: float = 0.0
    largest_bytes: int | None = 0
    failures: list[dict[str, str]] = field(default_factory=list)


class Watch:
    """Puts inputs to one target, and writes what comes of them into ``trial``."""

    def __init__(self, target: Target) -> None:
        self.trial = Trial()
        self._target = target
        self._refused: Counter[str] = Counter()
        for seed in target.seeds:
            # Imports and caches of first calls are no input's.
            target.take(seed)
        gc.collect()
        gc.freeze()

    def put(self, data: bytes) -> None:
        """Try one input."""
        trial = self.trial
        trial.inputs += 1
        before_bytes = reset_peak()
        took_s = self._timed(data)
        peak_bytes = peak()
        if took_s is None:
            return
        for _ in range(_AGAIN if took_s > SLOW_S else 0):
            # Once may have been the first to touch a page, or collected others' garbage.
            took_s = min(took_s, self._timed(data) or 0.0)
        trial.slowest_s = max(trial.slowest_s, took_s)
        if took_s > SLOW_S:
            self._fails(f"took {took_s * 1000:.0f} ms", data)
        if before_bytes is None or peak_bytes is None:
            trial.largest_bytes = None
            return
        extra_bytes = peak_bytes - before_bytes
        trial.largest_bytes = max(trial.largest_bytes or 0, extra_bytes)
        if extra_bytes > LARGE_BYTES:
            self._fails(f"took {extra_bytes >> 20} MiB", data)

    def done(self) -> Trial:
        """All there is to tell."""
        self.trial.refused = dict(self._refused)
        return self.trial

    def _timed(self, data: bytes) -> float | None:
        started_s = time.thread_time()
        try:
            self._target.take(data)
        except self._target.documented as error:
            self._refused[type(error).__name__] += 1
        except BaseException as error:
            # Whatever else comes, with that of Rust's panics, is a finding.
            if isinstance(error, KeyboardInterrupt):
                raise
            self._fails(f"raised {type(error).__module__}.{type(error).__name__}: {str(error)[:200]}", data)
            return None
        else:
            self.trial.taken += 1
        return time.thread_time() - started_s

    def _fails(self, what: str, data: bytes) -> None:
        if len(self.trial.failures) < _MOST_KEPT:
            shown = base64.b64encode(data[:_SHOWN_BYTES]).decode()
            self.trial.failures.append({"what": what, "bytes": str(len(data)), "begins": shown})


def reset_peak() -> int | None:
    """Bytes that this process has in memory now; its peak begins here. None where the kernel does not tell."""
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return None
    return peak()


def peak() -> int | None:
    """Bytes that this process had in memory at most."""
    try:
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) << 10


def try_inputs(target: Target, count: int, seed: int) -> Trial:
    """So many inputs: the seeds changed, and some that hypothesis builds."""
    watch, chance = Watch(target), random.Random(seed)
    structured = count // _STRUCTURED

    @hypothesis_seed(seed)
    @settings(
        max_examples=max(1, structured),
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.structure)
    def build(data: bytes) -> None:
        watch.put(data)

    build()
    while watch.trial.inputs < count:
        watch.put(target.change(chance))
    return watch.done()


def try_bomb(target: Target, data: bytes) -> Trial:
    """That input alone."""
    watch = Watch(target)
    give_back_free_memory()
    watch.put(data)
    return watch.done()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bombs", action="store_true", help="those of the target, each in a fork")
    arguments = parser.parse_args()
    # As in a program that does not turn warnings into errors, and without a word on standard error for each.
    warnings.simplefilter("ignore")
    target = TARGETS[arguments.target]()
    if arguments.bombs:
        found = {
            name: asdict(try_bomb(target, make())) for (kind, name), make in BOMBS.items() if kind == arguments.target
        }
        print(json.dumps(found))
    else:
        print(json.dumps(asdict(try_inputs(target, arguments.count, arguments.seed))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
