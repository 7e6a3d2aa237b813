"""The jobs of one server: a bounded queue, those that run, and those that ended and are kept for a while."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol

from fastvideo.api.errors import ConfigValidationError, FastVideoError
from fastvideo.api.schema import OpenAIConfig
from fastvideo.entrypoints.openai.job import Job, JobFault, JobRecord, Kind
from fastvideo.entrypoints.openai.results import Results
from fastvideo.entrypoints.openai.stores import AsyncDictStore, JobStore
from fastvideo.entrypoints.streaming.error_messages import error_message
from fastvideo.entrypoints.streaming.session_lease import LeaseHeld, LeaseLost
from fastvideo.entrypoints.streaming.store_errors import StoreFull, StoreUnavailable
from fastvideo.media.boxes import BoxError

logger = logging.getLogger(__name__)

SWEEP_EVERY_S = 60.0
EXPIRE_EVERY_S = 3600.0

RESTARTED = JobFault("server_restarted", "The server was restarted while its client waited; ask again.")
_DISK = JobFault("storage_failed", "The server could not keep the result.")
_INTERNAL = JobFault("internal_error", "The server met an unexpected error.")


class JobsFull(FastVideoError):
    """As many jobs wait as the operator allows."""

    retryable = True


class JobsDraining(FastVideoError):
    """The server is shutting down and takes no more jobs."""

    retryable = True


class JobConflict(FastVideoError):
    """Something else was asked for with the same idempotency key before."""


class Work(Protocol):
    """Makes one kind of jobs."""

    async def make(self, job: Job, save: Callable[[Job], Awaitable[None]]) -> None:
        """Make what is left of a job, and call ``save`` whenever more of it is whole."""
        ...


class Jobs:
    """Takes, makes, keeps and forgets jobs. ``work`` makes each kind, ``ended`` is called with each job that ended;
    ``clock`` gives seconds as ``time.time`` does.

    Jobs begin in the order in which they came, ``max_running`` at a time; between those that run, and live sessions,
    the pool's workers go by turns from segment to segment.
    """

    def __init__(
        self,
        config: OpenAIConfig,
        store: JobStore,
        results: Results,
        work: Mapping[Kind, Work],
        *,
        ended: Callable[[JobRecord], None] = lambda record: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._store = store
        self._results = results
        self._work = work
        self._ended = ended
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._keys = AsyncDictStore()
        self._waiting: deque[Job] = deque()
        self._arriving = 0
        self._more = asyncio.Event()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._servers: list[asyncio.Task[None]] = []
        self._closed = False
        self.draining = False

    # --- life

    async def open(self) -> None:
        """Go on with what is stored. Raises StoreUnavailable."""
        for record in await self._store.load():
            job = self._jobs[record.id] = Job(record)
            if record.key is not None:
                await self._keys.upsert(record.key, {"job_id": record.id, "body": record.body})
            if record.ended:
                continue
            if record.waits:
                await self._end(job, RESTARTED)
            else:
                record.status = "queued"
                self._waiting.append(job)
        await asyncio.to_thread(self._results.sweep, set(self._jobs))
        logger.info("jobs: %d are known, %d of them go on", len(self._jobs), len(self._waiting))
        self._servers = [asyncio.create_task(self._serve()) for _ in range(self._config.max_running)]
        self._servers.append(asyncio.create_task(self._sweep_now_and_then()))

    def drain(self) -> None:
        """Take no more jobs, and let go of whoever waits for one. What runs goes on until :meth:`close`."""
        self.draining = True
        for job in self._jobs.values():
            job.changed()

    async def close(self) -> None:
        """Break off what runs; it goes on when the store is opened again. Twice is the same as once."""
        self.draining = True
        servers, self._servers = self._servers, []
        for task in servers:
            task.cancel()
        await asyncio.gather(*servers, return_exceptions=True)
        if not self._closed:
            self._closed = True
            await self._store.close()
            await asyncio.to_thread(self._results.close)

    # --- what clients ask for

    async def submit(self, record: JobRecord) -> Job:
        """Queue a job, or give the one that the same idempotency key asked for before.

        Raises JobsFull, JobsDraining, JobConflict, StoreFull and StoreUnavailable; the files of a job that is not taken
        are its caller's to remove.
        """
        if (known := await self.known(record.key, record.body)) is not None:
            return known
        self.check_room()
        job = self._jobs[record.id] = Job(record)
        if record.key is not None:
            await self._keys.upsert(record.key, {"job_id": record.id, "body": record.body})
        self._arriving += 1
        try:
            # Stored before it begins, so that whoever was told of it finds it after a restart.
            await self._store.save(record)
        except BaseException:
            await self._forget(job)
            raise
        finally:
            self._arriving -= 1
        self._waiting.append(job)
        self._more.set()
        return job

    def check_room(self) -> None:
        """Raise JobsFull or JobsDraining when no job is taken now."""
        if self.draining:
            raise JobsDraining("the server is shutting down")
        if len(self._waiting) + self._arriving >= self._config.max_queued:
            raise JobsFull(f"{self._config.max_queued} jobs wait already; try again later")

    async def known(self, key: str | None, body: str | None) -> Job | None:
        """The job that an idempotency key asked for before. Raises JobConflict when that was something else."""
        found = None if key is None else await self._keys.get(key)
        if found is None:
            return None
        if found["body"] != body:
            raise JobConflict("this idempotency key was used for another request; use a new one")
        return self._jobs.get(found["job_id"])

    def get(self, job_id: str, kind: Kind) -> Job | None:
        """The job of that id, None when there is none of that kind."""
        job = self._jobs.get(job_id)
        return job if job is not None and job.record.kind == kind else None

    def listed(
        self, wanted: Callable[[JobRecord], bool], *, after: str | None, limit: int, newest_first: bool
    ) -> tuple[list[Job], bool]:
        """At most ``limit`` of the jobs that are wanted, from the one on that follows ``after``, and whether there are
        more. There are none after an unknown one."""
        found = [job for job in self._jobs.values() if wanted(job.record)]
        if newest_first:
            found.reverse()
        if after is not None:
            at = next((index for index, job in enumerate(found) if job.id == after), len(found))
            found = found[at + 1 :]
        return found[:limit], len(found) > limit

    async def delete(self, job: Job) -> None:
        """Stop a job if it runs, and remove all there is of it. Raises StoreUnavailable; the job is gone all the same
        as far as this server is concerned."""
        await self._forget(job)
        task = self._running.get(job.id)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        await asyncio.to_thread(self._results.remove, job.id)
        await self._store.remove(job.id)

    async def outcome(self, job: Job) -> bool:
        """Wait until a job is over; False when the server shuts down before."""
        while not job.over and not self.draining:
            await job.change(job.version)
        return job.over

    @property
    def waiting(self) -> int:
        """Jobs that wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Jobs that are being made."""
        return len(self._running)

    # --- making

    async def _serve(self) -> None:
        while True:
            while not self._waiting:
                self._more.clear()
                await self._more.wait()
            job = self._waiting.popleft()
            task = self._running[job.id] = asyncio.create_task(self._run(job))
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                task.cancel()
                await asyncio.wait({task})
                raise
            finally:
                del self._running[job.id]
            await self._sweep()

    async def _run(self, job: Job) -> None:
        record = job.record
        try:
            record.status = "in_progress"
            job.changed()
            # What another server took over is not begun here.
            await self._save(job)
            await self._work[record.kind].make(job, self._save)
        except (LeaseLost, LeaseHeld):
            logger.warning("job %s goes on with another server", job.id)
            await self._forget(job)
        except (StoreFull, StoreUnavailable):
            logger.warning("job %s could not be stored", job.id, exc_info=True)
            await self._end(job, _DISK)
        except FastVideoError as error:
            logger.info("job %s failed: %s", job.id, error)
            await self._end(job, fault_of(error))
        except (OSError, BoxError):
            logger.exception("the files of job %s could not be written", job.id)
            await self._end(job, _DISK)
        except Exception:
            logger.exception("job %s failed", job.id)
            await self._end(job, _INTERNAL)
        else:
            await self._end(job, None)

    async def _save(self, job: Job) -> None:
        await self._store.save(job.record)

    async def _end(self, job: Job, fault: JobFault | None) -> None:
        record = job.record
        record.status = "completed" if fault is None else "failed"
        record.error = fault
        record.completed_at = int(self._clock())
        if fault is None:
            job.progress = 100
        else:
            record.outputs, record.output_bytes = [], 0
            try:
                await asyncio.to_thread(self._results.remove, job.id)
            except (OSError, StoreUnavailable):
                logger.warning("the files of job %s could not be removed", job.id, exc_info=True)
        try:
            await self._store.save(record)
        except (LeaseLost, LeaseHeld, StoreFull, StoreUnavailable):
            # It is told as it is; after a restart it would be made again.
            logger.warning("the end of job %s could not be stored", job.id, exc_info=True)
        self._ended(record)
        job.changed()

    # --- forgetting

    async def _forget(self, job: Job) -> None:
        """Let nobody find a job any more."""
        self._jobs.pop(job.id, None)
        if job.record.key is not None:
            await self._keys.pop(job.record.key)
        with contextlib.suppress(ValueError):
            self._waiting.remove(job)
        job.deleted = True
        job.changed()

    async def _sweep_now_and_then(self) -> None:
        expired_at_s = -EXPIRE_EVERY_S
        while True:
            await self._sweep()
            if (now_s := time.monotonic()) >= expired_at_s + EXPIRE_EVERY_S:
                expired_at_s = now_s
                await self._expire()
            await asyncio.sleep(SWEEP_EVERY_S)

    async def _expire(self) -> None:
        try:
            await asyncio.to_thread(self._results.expire, set(self._jobs))
        except StoreUnavailable:
            logger.warning("results that are past their time could not be removed", exc_info=True)

    async def _sweep(self) -> None:
        """Forget what has been kept for long enough, and the oldest of too many and too much."""
        ended = [job for job in self._jobs.values() if job.record.ended]
        for job in excess(ended, self._config, now_s=self._clock()):
            try:
                await self.delete(job)
            except (LeaseLost, LeaseHeld, StoreFull, StoreUnavailable, OSError):
                logger.warning("job %s could not be removed", job.id, exc_info=True)


def excess(ended: Iterable[Job], config: OpenAIConfig, *, now_s: float) -> list[Job]:
    """Which of the jobs that ended are not kept: those that are too old, then the oldest of too many and too much."""
    kept = sorted(ended, key=lambda job: job.record.completed_at or 0)
    total_bytes = sum(job.record.output_bytes for job in kept)
    gone = []
    for index, job in enumerate(kept):
        old = (job.record.completed_at or 0) + config.keep_seconds <= now_s
        if not old and len(kept) - index <= config.max_kept and total_bytes <= config.max_bytes:
            break
        total_bytes -= job.record.output_bytes
        gone.append(job)
    return gone


def fault_of(error: FastVideoError) -> JobFault:
    """What a job's client is told of an error."""
    told = error_message(error)
    if isinstance(error, ConfigValidationError):
        return JobFault("invalid_value", told.message)
    return JobFault(told.reason or told.code, told.message)
