"""The loop of a worker process: it builds a generator, warms it up, and makes segments until its connection ends.

Three threads: one reads what the pool says, one generates, one tells that all is well. Run as a module it takes the
number of an inherited socket.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import numpy as np

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import FastVideoError, GenerationFailed
from fastvideo.api.schema import GenerationRequest
from fastvideo.api.upcoming_text import UpcomingText
from fastvideo.entrypoints.model_path import build_generator
from fastvideo.entrypoints.streaming.accelerator_faults import accelerator_lost
from fastvideo.entrypoints.streaming.ring_memory import receive_first
from fastvideo.entrypoints.streaming.ring_writer import RingWriter
from fastvideo.entrypoints.streaming.segment_channel import MAX_BYTES, STALL_S, ReaderTooSlow
from fastvideo.entrypoints.streaming.segment_events import (
    SegmentDone,
    SegmentEvent,
    SegmentFragment,
    SegmentInit,
    SegmentJob,
)
from fastvideo.entrypoints.streaming.warmup import Warmup, run_warmup
from fastvideo.entrypoints.streaming.worker import SegmentGenerator, as_result, generate_whole, run_segment
from fastvideo.entrypoints.streaming.worker_buffers import WireError
from fastvideo.entrypoints.streaming.worker_faults import fault_of
from fastvideo.entrypoints.streaming.worker_messages import (
    Boot,
    BootFailed,
    Cancel,
    Consumed,
    EncodeAhead,
    FromWorker,
    Heartbeat,
    JobEnded,
    JobEvent,
    JobTaken,
    Message,
    Ready,
    ResultDone,
    ResultFrames,
    RingFreed,
    RunRequest,
    RunSegment,
    Unusable,
    WarmedUp,
)
from fastvideo.entrypoints.streaming.worker_wire import MessageReader, encode, send_buffers

logger = logging.getLogger(__name__)

_RECEIVE_BYTES = 1 << 20
_FRAMES_BYTES = 32 << 20
_END_S = 3.0

Build = Callable[[Boot], SegmentGenerator]
MakeSegment = Callable[
    [SegmentGenerator, SegmentJob, CancellationToken, UpcomingText], Generator[SegmentEvent, None, None]
]

# A segment that broke with the accelerator is made again by another process, so nothing of its end may be sent.
_make_segment = functools.partial(run_segment, breaks_off=accelerator_lost)


class _PoolGone(Exception):
    """Nobody is at the other end any more."""


class WorkerLoop:
    """One worker at one end of a connection; :meth:`serve` returns when the other end is closed.

    ``make_segment`` does a job for a stream, of which ``window_bytes`` may be on their way unread, at most ``stall_s``
    without progress.
    """

    def __init__(
        self,
        connection: socket.socket,
        build: Build,
        *,
        make_segment: MakeSegment = _make_segment,
        window_bytes: int = MAX_BYTES,
        stall_s: float = STALL_S,
    ) -> None:
        self._connection = connection
        self._build = build
        self._make_segment = make_segment
        self._window_bytes = window_bytes
        self._stall_s = stall_s
        self._sending = threading.Lock()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._known: dict[int, _Job] = {}
        self._ended = threading.Event()
        self._warming = CancellationToken()
        self._ring: RingWriter | None = None

    def serve(self) -> None:
        """Do what the pool says. Raises WireError when that is no message of the protocol."""
        try:
            self._serve()
        finally:
            if self._ring is not None:
                self._ring.close()

    def _serve(self) -> None:
        messages = self._received()
        boot = next(messages, None)
        if boot is None:
            return
        if not isinstance(boot, Boot):
            raise WireError(f"expected a boot message first, got {type(boot).__name__}")
        threads = [
            threading.Thread(target=self._live, args=(boot.heartbeat_s,), name="heartbeat", daemon=True),
            threading.Thread(target=self._work, args=(boot,), name="generator", daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            for message in messages:
                self._obey(message)
        finally:
            self._warming.cancel()
            for job in list(self._known.values()):
                job.cancel.cancel()
                job.consumed(None)
            self._ended.set()
            self._jobs.put(None)
            for thread in threads:
                thread.join(_END_S)

    @property
    def jobs_waiting(self) -> int:
        """Jobs that were taken and have not begun."""
        return self._jobs.qsize()

    @property
    def ending(self) -> bool:
        """Whether the connection is over and everything was told to stop."""
        return self._ended.is_set()

    # --- the thread that reads

    def _received(self) -> Iterator[Message]:
        reader = MessageReader()
        try:
            data, memory = receive_first(self._connection, _RECEIVE_BYTES)
            if memory is not None:
                self._ring = RingWriter(memory, stall_s=self._stall_s)
            while data:
                yield from reader.feed(data)
                data = self._connection.recv(_RECEIVE_BYTES)
        except OSError:
            return

    def _obey(self, message: Message) -> None:
        match message:
            case RunSegment():
                self._take(_Job(message.job_id, message.job, self._window_bytes, self._stall_s))
            case RunRequest():
                self._take(_Job(message.job_id, message.request, self._window_bytes, self._stall_s))
            case Cancel():
                if (job := self._known.get(message.job_id)) is not None:
                    job.cancel.cancel()
            case EncodeAhead():
                if (job := self._known.get(message.job_id)) is not None:
                    job.upcoming.tell(message.request)
            case Consumed():
                if (job := self._known.get(message.job_id)) is not None:
                    job.consumed(message.size_bytes)
            case RingFreed():
                self._freed(message.offset)
            case _:
                raise WireError(f"a worker does not take {type(message).__name__}")

    def _freed(self, offset: int) -> None:
        try:
            if self._ring is None:
                raise WireError("a place in a ring was released, and there is none")
            self._ring.freed(offset)
        except ValueError as error:
            raise WireError(str(error)) from error

    def _take(self, job: _Job) -> None:
        self._known[job.id] = job
        self._jobs.put(job)

    # --- the thread that tells that all is well

    def _live(self, interval_s: float) -> None:
        with contextlib.suppress(_PoolGone):
            while not self._ended.wait(interval_s):
                self._send(Heartbeat())

    # --- the thread that generates

    def _work(self, boot: Boot) -> None:
        try:
            generator = self._booted(boot)
            if generator is None:
                return
            while (job := self._jobs.get()) is not None:
                ended = self._done(job, generator)
                self._send(ended)
                self._known.pop(job.id, None)
                if isinstance(ended, Unusable):
                    self._hang_up()
                    return
        except _PoolGone:
            pass

    def _booted(self, boot: Boot) -> SegmentGenerator | None:
        try:
            generator = self._build(boot)
            if boot.warmup is not None:
                # The pool knows how long it may take, and ends this process then.
                for event in run_warmup(generator, Warmup(boot.warmup, timeout_s=math.inf), self._warming):
                    if isinstance(event, SegmentDone):
                        self._send(WarmedUp(event.generation_ms))
        except _PoolGone:
            raise
        except BaseException as error:
            # The process's boundary: whatever happens here, the pool hears of it.
            logger.exception("the worker could not start")
            known = (
                error if isinstance(error, FastVideoError) else GenerationFailed(f"{type(error).__name__} at the start")
            )
            self._send(BootFailed(fault_of(known)))
            self._hang_up()
            return None
        self._send(Ready(getattr(generator, "model_id", None)))
        return generator

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _done(self, job: _Job, generator: SegmentGenerator) -> JobEnded | Unusable:
        started_s = time.monotonic()
        try:
            job.cancel.raise_if_cancelled()
            self._send(JobTaken(job.id))
            if isinstance(job.work, SegmentJob):
                segment = self._make_segment(generator, job.work, job.cancel, job.upcoming)
                with contextlib.closing(segment) as events:
                    for event in events:
                        job.let_through(_media_bytes(event))
                        self._send(JobEvent(job.id, event))
            else:
                self._give_back(job, generate_whole(generator, job.work, job.cancel))
        except _PoolGone:
            raise
        except BaseException as error:
            if accelerator_lost(error):
                logger.exception("job %d failed with the accelerator", job.id)
                return Unusable("its accelerator fails")
            if isinstance(error, FastVideoError):
                return JobEnded(job.id, fault=fault_of(error))
            logger.exception("job %d failed", job.id)
            return JobEnded(job.id, fault=fault_of(GenerationFailed("the worker failed; the log has the reason")))
        return JobEnded(job.id, time.monotonic() - started_s)

    def _give_back(self, job: _Job, result: Any) -> None:
        whole = as_result(result)
        if whole.frames is not None and len(whole.frames):
            frame = np.asarray(whole.frames[0], np.uint8)
            if self._ring is not None and self._ring.fits(frame):
                for told in self._ring.put(job.id, whole.frames, job.cancel):
                    self._send(told)
            else:
                self._send_frames(job, whole.frames, max(1, _FRAMES_BYTES // max(1, frame.nbytes)))
        self._send(ResultDone(job.id, whole))

    def _send_frames(self, job: _Job, frames: Sequence[Any], batch: int) -> None:
        for first in range(0, len(frames), batch):
            job.cancel.raise_if_cancelled()
            stacked = np.stack([np.asarray(frame, np.uint8) for frame in frames[first : first + batch]])
            self._send(ResultFrames(job.id, stacked))

    def _send(self, message: FromWorker) -> None:
        buffers = encode(message)
        with self._sending:
            try:
                send_buffers(self._connection, buffers)
            except OSError:
                raise _PoolGone from None


class _Job:
    """One job, and how much of its media is on its way unread."""

    def __init__(self, job_id: int, work: SegmentJob | GenerationRequest, window_bytes: int, stall_s: float) -> None:
        self.id = job_id
        self.work = work
        self.cancel = CancellationToken()
        self.upcoming = UpcomingText()
        self._window_bytes = window_bytes
        self._stall_s = stall_s
        self._unread_bytes = 0
        self._changed = threading.Condition()

    def let_through(self, size_bytes: int) -> None:
        """Wait until this many bytes may be sent. Raises ReaderTooSlow when nobody reads for too long."""
        with self._changed:
            while self._unread_bytes and self._unread_bytes + size_bytes > self._window_bytes:
                if not self._changed.wait(self._stall_s):
                    raise ReaderTooSlow(
                        "the connection takes the stream too slowly; try a faster one or a smaller size"
                    )
            self._unread_bytes += size_bytes

    def consumed(self, size_bytes: int | None) -> None:
        """The reader took some bytes; None: there is no reader any more."""
        with self._changed:
            self._unread_bytes = 0 if size_bytes is None else max(0, self._unread_bytes - size_bytes)
            self._changed.notify()


def _media_bytes(event: SegmentEvent) -> int:
    return len(event.data) if isinstance(event, SegmentInit | SegmentFragment) else 0


def build(boot: Boot) -> SegmentGenerator:
    """The generator that the configuration selects."""
    return build_generator(boot.generator, pool=boot.pool, limits=boot.limits)


def main(arguments: Sequence[str], build: Build = build, *, make_segment: MakeSegment = _make_segment) -> None:
    """Serve the inherited socket whose number is the last argument, then end at once.

    The server decides when that is: a terminal or a supervisor may send its signal to all processes at once, and the
    segment that runs is still wanted.
    """
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    # Standard error is a pipe that the pool reads; it writes to its own log.
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    connection = socket.socket(fileno=int(arguments[-1]))
    connection.set_inheritable(False)
    status = 0
    try:
        WorkerLoop(connection, build, make_segment=make_segment).serve()
    except WireError:
        logger.exception("the pool said something that is no message")
        status = 1
    finally:
        logging.shutdown()
        # A generator in the middle of a step would keep the process, and with it the GPU.
        os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
