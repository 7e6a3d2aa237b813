"""The pool interface that sessions use, and what a pool of one's own gets for free.

A session first acquires a place (admission), then sends one segment after the other; release frees the place.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import FastVideoError, GenerationCancelled, GenerationFailed
from fastvideo.api.schema import GenerationRequest
from fastvideo.entrypoints.streaming.admission import ADMITTED, Place
from fastvideo.entrypoints.streaming.segment_channel import SegmentChannel
from fastvideo.entrypoints.streaming.segment_events import SegmentEvent, SegmentJob, SegmentStarted
from fastvideo.entrypoints.streaming.worker import run_segment
from fastvideo.entrypoints.streaming.worker_thread import Turn, WorkerThread

logger = logging.getLogger(__name__)

_CANCEL_POLL_S = 0.05

OnPlace: TypeAlias = Callable[[Place], None]
WorkerState: TypeAlias = Literal["dead", "booting", "ready", "busy"]

WORKER_STATES: tuple[WorkerState, ...] = get_args(WorkerState)


class PoolAcquireTimeout(FastVideoError, RuntimeError):
    """No worker took the session in time."""

    code = "gpu_unavailable"
    retryable = True


class PoolUnavailable(FastVideoError, RuntimeError):
    """The pool has no worker that will ever be ready: its warm-up failed, or it is shut down."""

    code = "gpu_unavailable"


@dataclass(frozen=True)
class PoolAssignment:
    """The worker that a session is bound to; ``pinned_at`` in monotonic seconds."""

    gpu_id: int
    worker_id: str
    pinned_at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class PoolHealth:
    """How many workers there are, how many could take a session, and how many sessions are served and wait."""

    total_workers: int
    available_workers: int
    active_sessions: int
    queued_sessions: int = 0


@dataclass(frozen=True)
class WorkerStanding:
    """One worker now. ``ready`` waits for work; ``pid`` is of its process while there is one; ``restarts`` counts the
    processes that were lost and replaced since the pool began."""

    name: str
    state: WorkerState
    pid: int | None = None
    restarts: int = 0


class GpuPool(ABC):
    """Workers that sessions are bound to. The five abstract methods are enough for a pool of one's own."""

    #: The model that the workers run, and the values that it prefers in a request, where the pool knows them.
    model_id: str | None = None
    request_defaults: Mapping[str, Any] = MappingProxyType({})

    @abstractmethod
    async def acquire(
        self,
        session_id: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> PoolAssignment:
        """Bind the session to a worker; twice is the same as once. Raises PoolAcquireTimeout after ``timeout`` s."""

    @abstractmethod
    async def run(self, session_id: str, request: GenerationRequest) -> Any:
        """Generate one segment and return the result. Raises RuntimeError unless the session was acquired."""

    @abstractmethod
    async def release(self, session_id: str) -> None:
        """Give the worker back; no error when the session has none."""

    @abstractmethod
    async def shutdown(self) -> None:
        """Stop the workers; twice is the same as once."""

    @abstractmethod
    def health(self) -> PoolHealth:
        """How the pool stands now."""

    @property
    def wanted(self) -> bool:
        """Whether a session waits for a place, or a segment for its turn."""
        return self.health().queued_sessions > 0 or self.turns_waiting > 0

    @property
    def turns_waiting(self) -> int:
        """Segments that are asked for and wait for a worker, where the pool knows."""
        return 0

    @property
    def workers(self) -> Sequence[WorkerStanding]:
        """How each worker stands, where the pool knows; this default knows of none."""
        return ()

    def encode_ahead(self, session_id: str, request: GenerationRequest) -> None:
        """Tell the worker that makes the session's segment now what is asked for next, as far as is known, so that it
        may encode its text; only the newest counts. Returns at once and never fails for a worker that is gone or a
        session without a segment. Raises ConfigValidationError for a request that no worker could read.

        This default tells nobody."""
        return

    async def start(self) -> None:
        """Make the workers ready. Sessions may come before that is done, and wait."""
        return

    async def join(
        self,
        session_id: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
        on_place: OnPlace | None = None,
    ) -> PoolAssignment:
        """:meth:`acquire` that tells the place in the queue: once at first, then whenever it changes."""
        if on_place is not None:
            on_place(ADMITTED)
        return await self.acquire(session_id, timeout=timeout)

    async def join_job(self, job_id: str) -> PoolAssignment:
        """A place for a job. Its segments take turns with those of sessions, and it takes none of their places: whoever
        runs jobs bounds how many run at once. This default is :meth:`acquire`."""
        return await self.acquire(job_id)

    async def stream(
        self, session_id: str, job: SegmentJob, *, cancel: CancellationToken | None = None
    ) -> AsyncGenerator[SegmentEvent, None]:
        """Generate and code one segment. Close the iterator to abandon it; see ``run_segment`` for what it raises.

        This default generates with :meth:`run` and codes the result in this process.
        """
        token = cancel or CancellationToken()
        yield SegmentStarted(max(1, job.request.sampling.num_inference_steps))
        result = await _run_cancellable(self.run(session_id, job.request), token)
        channel: SegmentChannel[SegmentEvent] = SegmentChannel(asyncio.get_running_loop())
        turn = Turn(lambda: run_segment(_Finished(result), job, token), channel, token)
        # A thread of its own, because it waits for slow readers.
        coder = WorkerThread(f"coding-{session_id}")
        coder.submit(turn)
        coder.stop()
        try:
            async for event in channel:
                if not isinstance(event, SegmentStarted):
                    yield event
        finally:
            turn.abandon()


class _Finished:
    """A generator whose result is there already."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def generate(self, request: GenerationRequest) -> Any:
        return self._result


async def _run_cancellable(run: Coroutine[Any, Any, Any], cancel: CancellationToken) -> Any:
    task = asyncio.ensure_future(run)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=_CANCEL_POLL_S)
            if cancel.cancelled and not task.done():
                raise GenerationCancelled("the segment was cancelled")
        return task.result()
    except FastVideoError:
        raise
    except Exception as error:
        logger.exception("the pool failed to run a segment")
        raise GenerationFailed("the pool failed; the server's log has the reason") from error
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
