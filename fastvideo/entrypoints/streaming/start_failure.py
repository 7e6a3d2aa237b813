"""A server that cannot start: one sentence, and an exit code of its own."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from fastvideo.api.errors import FastVideoError

logger = logging.getLogger(__name__)

EXIT_CODE = 3


class StartFailure(FastVideoError):
    """The server cannot start. The text is one line, and says what is wrong and, where it is known, what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(" ".join(reason.split()))


@contextlib.contextmanager
def start_failures() -> Iterator[None]:
    """Whatever goes wrong inside is raised as a StartFailure; what nobody foresaw is logged with its traceback."""
    try:
        yield
    except StartFailure:
        raise
    except (FastVideoError, OSError) as error:
        raise StartFailure(str(error)) from error
    except Exception as error:
        # The process's boundary: an operator gets a sentence, whatever a model's libraries raise.
        logger.exception("the server could not start")
        raise StartFailure(f"the server could not start: {type(error).__name__}, as logged above") from error


def no_worker(status: Mapping[str, Any]) -> str | None:
    """Why no worker of a pool that was started will take a session, from its ``get_pool_status``; None if one may."""
    workers = list(status["gpu_status"].values())
    if not workers or not all(_failed(worker) for worker in workers):
        return None
    reason = next((worker["warmup_error"] for worker in workers if worker.get("warmup_error")), "no process came up")
    return f"no worker could start: {reason}"


def _failed(worker: Mapping[str, Any]) -> bool:
    # One that was ready before is replaced by its pool.
    if worker.get("ready") or worker.get("warmup_success"):
        return False
    return bool(worker.get("warmup_error")) or not worker.get("process_alive")
