import logging
import queue

import pytest

from fastvideo.entrypoints.log_queue import logging_to


def test_records_are_copied_to_the_queue_for_as_long_as_the_call_lasts() -> None:
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    logger = logging.getLogger("fastvideo.somewhere")
    with pytest.raises(KeyError), logging_to(records):
        logger.warning("inside")
        raise KeyError
    logger.warning("outside")
    assert records.get_nowait().getMessage() == "inside"
    assert records.empty()


def test_no_queue_changes_nothing() -> None:
    before = list(logging.getLogger("fastvideo").handlers)
    with logging_to(None):
        assert logging.getLogger("fastvideo").handlers == before
