"""Why a server cannot start, in one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from fastvideo.api.errors import CheckpointError, ConfigValidationError
from fastvideo.entrypoints.streaming.start_failure import StartFailure, no_worker, start_failures


def worker(**changes: Any) -> dict[str, Any]:
    return {"ready": False, "process_alive": True, "warmup_success": None, "warmup_error": None, **changes}


FAILED = worker(process_alive=False, warmup_success=False, warmup_error="no model at x")


@pytest.mark.parametrize(
    ("workers", "reason"),
    [
        ([], None),
        ([worker(ready=True, warmup_success=True)], None),
        ([worker()], None),
        ([FAILED, worker(ready=True)], None),
        ([FAILED, worker()], None),
        ([worker(process_alive=False, warmup_success=True)], None),
        ([FAILED], "no worker could start: no model at x"),
        ([worker(process_alive=False), FAILED], "no worker could start: no model at x"),
        ([worker(warmup_success=False, warmup_error="timed out")], "no worker could start: timed out"),
        ([worker(process_alive=False)], "no worker could start: no process came up"),
    ],
)
def test_a_pool_has_failed_when_none_of_its_workers_is_or_was_ready_or_still_starts(
    workers: list[dict[str, Any]], reason: str | None
) -> None:
    assert no_worker({"gpu_status": {str(index): each for index, each in enumerate(workers)}}) == reason


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (CheckpointError("no model at x:\n  expected a file"), "no model at x: expected a file"),
        (ConfigValidationError("server.port", "expected a port"), "server.port: expected a port"),
        (FileNotFoundError(2, "No such file", "x"), "[Errno 2] No such file: 'x'"),
        (StartFailure("it is late"), "it is late"),
    ],
)
def test_what_is_raised_on_purpose_is_one_line_and_not_logged(error: Exception, sentence: str, caplog: Any) -> None:
    with pytest.raises(StartFailure) as caught, start_failures():
        raise error
    assert str(caught.value) == sentence
    assert caplog.records == []


def test_what_nobody_foresaw_is_logged_and_named(caplog: Any) -> None:
    with pytest.raises(StartFailure, match="ZeroDivisionError"), start_failures():
        raise ZeroDivisionError
    (record,) = caplog.records
    assert record.exc_info is not None
