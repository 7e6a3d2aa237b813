"""A crowd at one server, and its neighbours. The full size is a benchmark."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks import crowd
from benchmarks.crowd import HEARD, KINDS, PLANS, endure, grown
from benchmarks.report import Effort, Report

pytestmark = pytest.mark.timeout(170)


async def test_a_crowd_costs_its_neighbours_no_fragment_is_closed_with_the_reason_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    plan = PLANS[Effort.QUICK]
    found = await endure(plan)
    neighbours = found.crowd.watched
    assert neighbours.broke == []
    assert neighbours.missing == 0
    assert len(neighbours.late_s) > plan.neighbours
    assert found.crowd.too_slow == plan.crowd.silent + plan.crowd.reread
    assert found.crowd.heard == [HEARD] * plan.crowd.reread
    assert found.crowd.failed == []
    talked = found.crowd.talked
    assert talked.pongs + talked.errors == talked.sent > 0
    left = {kind: grown(found, kind) for kind in KINDS if grown(found, kind) > 0}
    assert not left
    report = crowd.report(found, Effort.QUICK)
    assert Report.read(report.write(tmp_path / "report.json")).figures == report.figures
    if found.before["in_use_bytes"] is None:
        pytest.skip("only the GNU C library counts what memory is in use")
    figures = {figure.name: figure for figure in report.figures}
    assert all(figure.value is not None and math.isfinite(figure.value) for figure in report.figures)
    for name in ("memory in use more than before", "memory at its peak, for each stream that stays"):
        assert figures[name].met, figures[name]
