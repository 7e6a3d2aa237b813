"""Streams on a pool of worker processes without a server before it: what each asks for, and where the workers stand."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass

from fastvideo.api.schema import (
    ContinuationState,
    GenerationRequest,
    GeneratorConfig,
    GpuPoolConfig,
    OutputConfig,
    SamplingConfig,
)
from fastvideo.entrypoints.streaming.gpu_pool import SubprocessGpuPool
from fastvideo.entrypoints.streaming.segment_events import SegmentDone, SegmentEvent, SegmentJob
from fastvideo.entrypoints.streaming.warmup import Warmup
from fastvideo.entrypoints.streaming.worker_launch import Launch, WorkerSubprocess, launch_worker
from fastvideo.entrypoints.streaming.worker_supervisor import Limits
from fastvideo.media.timeline import MediaCursor

FPS = 24
ENCODER = "libx264"
_WIDTH_PX, _HEIGHT_PX = 128, 96
_STEPS = 4
_WARMUP_S = 60.0
_POLL_S = 0.002


@dataclass(frozen=True)
class Pace:
    """Segments of ``playback_s`` that a worker sleeps ``factor`` of their playback for, give or take ``jitter`` of it.

    The picture is small, so that the worker's time is the pace and not the picture.
    """

    playback_s: float
    factor: float
    jitter: float = 0.0

    @property
    def segment_s(self) -> float:
        """What a segment takes, without jitter."""
        return self.playback_s * self.factor

    @property
    def model_path(self) -> str:
        """The generator that keeps the pace."""
        return f"mock:?rtf={self.factor:g}&jitter={self.jitter:g}"

    def request(self, prompt: str, seed: int, state: ContinuationState | None = None) -> GenerationRequest:
        """A request for one such segment."""
        frames = round(self.playback_s * FPS)
        sampling = SamplingConfig(
            width=_WIDTH_PX, height=_HEIGHT_PX, num_frames=frames, fps=FPS, num_inference_steps=_STEPS, seed=seed
        )
        output = OutputConfig(save_video=False, return_state=True)
        return GenerationRequest(prompt=prompt, sampling=sampling, state=state, output=output)


class PoolStream:
    """Session ``number`` of a pool: segments on one timeline, each from the state that the one before left."""

    def __init__(self, pool: SubprocessGpuPool, number: int, pace: Pace) -> None:
        self.name = f"session-{number}"
        self._pool = pool
        self._seed = number
        self._pace = pace
        self.begin()

    def begin(self) -> None:
        """Start a timeline."""
        self._cursor = MediaCursor.start()
        self._state: ContinuationState | None = None
        self._index = 0

    async def make(self, prompt: str) -> AsyncGenerator[SegmentEvent, None]:
        """The next segment's events. Raises what the pool does; the same segment is the next one then."""
        request = self._pace.request(prompt, self._seed, self._state)
        job = SegmentJob(request, self._cursor, self._index, encoder=ENCODER)
        async with contextlib.aclosing(self._pool.stream(self.name, job)) as events:
            async for event in events:
                if isinstance(event, SegmentDone):
                    self._cursor, self._state, self._index = event.cursor, event.state, self._index + 1
                yield event


class KnownLaunch:
    """Starts workers, of ``command`` if there is one, and knows the process of each."""

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = command
        self.started = 0
        self.pids: dict[int, int] = {}

    def __call__(self, index: int, devices: Sequence[str], workers: int) -> WorkerSubprocess:
        """A worker process."""
        others = {} if self._command is None else {"command": self._command}
        launched = launch_worker(index, devices, workers, **others)
        assert launched.pid is not None
        self.started += 1
        self.pids[index] = launched.pid
        return launched


@contextlib.asynccontextmanager
async def worker_pool(
    pace: Pace,
    *,
    workers: int,
    sessions: int,
    warm: bool = True,
    launch: Launch = launch_worker,
    limits: Limits | None = None,
) -> AsyncIterator[SubprocessGpuPool]:
    """A pool whose workers are ready, ``warm`` if they generate before that, as a server's do.

    It admits all sessions even while a single worker is left.
    """
    settings = GpuPoolConfig(num_workers=workers, sessions_per_worker=sessions)
    job = SegmentJob(pace.request("a lighthouse", seed=0), MediaCursor.start(), encoder=ENCODER)
    warmup = Warmup(job, _WARMUP_S) if warm else None
    generator = GeneratorConfig(pace.model_path)
    pool = SubprocessGpuPool(generator, pool_config=settings, warmup=warmup, limits=limits, launch=launch)
    try:
        await pool.start()
        yield pool
    finally:
        await pool.shutdown()


def workers_ready(pool: SubprocessGpuPool) -> list[int]:
    """The workers that take turns, now or after the one that they have."""
    return [int(index) for index, worker in pool.get_status()["gpu_status"].items() if worker["ready"]]


def workers_busy(pool: SubprocessGpuPool) -> list[int]:
    """The workers that have a turn."""
    return [int(index) for index, worker in pool.get_status()["gpu_status"].items() if worker["busy"]]


async def comes_true(condition: Callable[[], bool], within_s: float) -> bool:
    """Wait until a condition holds, at most so long; tells whether it does."""
    ends_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > ends_s:
            return False
        # What a pool knows of its workers has no event to wait for.
        await asyncio.sleep(_POLL_S)
    return True


@contextlib.contextmanager
def log_unread() -> Iterator[None]:
    """Have the package write its log as a server does, to nowhere: its cost counts, its lines would hide the table."""
    logger = logging.getLogger("fastvideo")
    before = logger.level, logger.propagate
    with open(os.devnull, "w") as nowhere:
        handler = logging.StreamHandler(nowhere)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.level, logger.propagate = before
