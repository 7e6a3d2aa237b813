"""Random traces of everything a client and a worker may do to a director, against a book kept beside it.

No prompt is lost or generated twice, a pause holds within one segment, what has ended stays ended. A trace that breaks
one of these stops the benchmark, and is printed in its shortest form.
"""

from __future__ import annotations

import sys
import time

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from benchmarks.director_machine import DirectorMachine
from benchmarks.report import Effort, Figure, Report, main

STEPS = 50
_TRACES = {Effort.QUICK: 5, Effort.NORMAL: 500, Effort.LONG: 10_000}


def measure(effort: Effort) -> Report:
    """As many traces as the effort says; raises AssertionError for one that breaks a rule."""
    traces = _TRACES[effort]
    began_s = time.perf_counter()
    # Traces differ from run to run, and none is kept: a failure that was found belongs into a test.
    run_state_machine_as_test(
        DirectorMachine,
        settings=settings(
            max_examples=traces,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    took = f"{traces} traces of up to {STEPS} steps in {time.perf_counter() - began_s:.0f} s"
    return Report("director_traces", effort, [Figure("traces that break a rule", 0.0, "", 0.0, took)])


if __name__ == "__main__":
    sys.exit(main("director_traces", __doc__, measure))
