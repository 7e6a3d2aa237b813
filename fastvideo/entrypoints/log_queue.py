"""The package's log records, copied to a queue for as long as one call lasts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler
from typing import Any


@contextmanager
def logging_to(log_queue: Any | None) -> Iterator[None]:
    """Put every record of ``fastvideo`` loggers on ``log_queue`` too; None changes nothing."""
    if log_queue is None:
        yield
        return
    handler = QueueHandler(log_queue)
    logger = logging.getLogger("fastvideo")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
