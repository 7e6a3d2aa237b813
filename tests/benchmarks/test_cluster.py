"""Sessions through a router outlive a killed server, a drained one and a Redis that is restarted; as real processes."""

import pytest

from benchmarks import cluster
from benchmarks.report import Effort


@pytest.mark.timeout(300)
def test_sessions_go_on_whole_when_a_server_is_killed_or_drained_and_when_redis_is_restarted() -> None:
    report = cluster.measure(Effort.QUICK)
    faults = ("broke", "errors", "pictures", "media", "told", "lost")
    assert {name: report.details[name] for name in faults} == {name: [] for name in faults}
    assert report.details["stuck"] == 0
    assert report.details["exits"] == [0]
    assert len(report.details["taken_s"]) == len(report.details["continued_s"]) > 0
    assert report.details["drained_s"]
