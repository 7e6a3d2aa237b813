"""Sessions of every ending, over two servers: nothing is left of them. The long form is a benchmark."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from benchmarks import endings
from benchmarks.endings import KINDS, PLANS, Findings, end_in_every_way, grown, leak_goal_bytes, types_that_grew
from benchmarks.report import Effort, Report

pytestmark = pytest.mark.timeout(170)


async def test_sessions_of_every_ending_leave_nothing_behind(tmp_path: Path) -> None:
    found = await end_in_every_way(PLANS[Effort.QUICK], tmp_path)
    assert found.faults == []
    left = {kind: grown(found, kind) for kind in KINDS if grown(found, kind) > 0}
    assert not left, f"{left}: {json.dumps(types_that_grew(found), indent=1)}"
    assert grown(found, "in_use_bytes") < leak_goal_bytes(found)
    ended = {reason for after in found.after for reason in after["ended"]}
    assert ended >= {"client_left", "client_lost", "stop_requested", "segment_cap", "timeout", "invalid_init"}
    report = endings.report(found, Effort.QUICK)
    assert all(figure.value is not None and math.isfinite(figure.value) for figure in report.figures)
    assert Report.read(report.write(tmp_path / "report.json")).figures == report.figures


def test_the_server_with_the_most_left_behind_is_the_one_that_counts() -> None:
    found = Findings(before=[{"tasks": 4}, {"tasks": 9}], after=[{"tasks": 5}, {"tasks": 3}])
    assert grown(found, "tasks") == 1
