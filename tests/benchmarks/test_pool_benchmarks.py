import importlib
import math
from pathlib import Path

import pytest

from benchmarks.pool_faults import FAULTS
from benchmarks.pool_scaling import counts_when_first_is_done, jain, spread
from benchmarks.report import Effort, Report

pytestmark = pytest.mark.timeout(150)


@pytest.fixture(scope="module")
def report_of() -> object:
    """Each benchmark's quick form, which runs once."""
    reports: dict[str, Report] = {}

    def measured(name: str) -> Report:
        if name not in reports:
            reports[name] = importlib.import_module(f"benchmarks.{name}").measure(Effort.QUICK)
        return reports[name]

    return measured


@pytest.mark.parametrize("name", ["pool_kills", "pool_faults", "pool_scaling"])
def test_a_benchmark_of_the_pool_gives_figures_that_are_named_and_finite(report_of, name: str, tmp_path: Path) -> None:
    report = report_of(name)
    assert report.benchmark == name
    names = [figure.name for figure in report.figures]
    assert len(set(names)) == len(names) > 0
    assert any(figure.goal is not None for figure in report.figures)
    for figure in report.figures:
        assert math.isfinite(figure.value) if figure.value is not None else figure.note
    assert Report.read(report.write(tmp_path / "report.json")).figures == report.figures


def test_workers_that_are_killed_leave_no_slot_no_process_and_no_descriptor(report_of) -> None:
    figures = {figure.name: figure.value for figure in report_of("pool_kills").figures}
    assert figures["turns whose worker was killed"] > 0
    assert [figures[f"leaked {kind}"] for kind in ("slots", "processes", "descriptors")] == [0, 0, 0]
    assert figures["of these neither"] == 0
    assert figures["gaps, overlaps, sequence faults"] == 0


def test_a_worker_with_any_of_the_faults_is_replaced(report_of) -> None:
    figures = {figure.name: figure for figure in report_of("pool_faults").figures}
    for fault in FAULTS:
        figure = figures[f"one {fault.name}: workers missing afterwards"]
        assert figure.value == 0
        assert (", 0 processes replaced" not in figure.note) == fault.costs_worker


def test_the_furthest_that_one_session_was_ahead_is_found_wherever_it_was() -> None:
    assert spread([0, 1, 2, 0, 1, 2], 3) == 1
    assert spread([0, 1, 0, 1, 2, 2], 3) == 2
    assert spread([0, 0, 0, 1, 1, 1], 2) == 3


def test_fairness_is_that_of_the_moment_in_which_the_first_session_has_everything() -> None:
    assert counts_when_first_is_done([0, 1, 2, 1, 0, 2], 3, 2) == [1, 2, 1]
    assert jain([2, 2, 2]) == 1
    assert jain([4, 0, 0, 0]) == 0.25
    assert jain([0, 0]) == 1
