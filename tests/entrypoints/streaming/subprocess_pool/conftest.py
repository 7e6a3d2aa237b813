"""What tests of the pool of worker processes share: workers that are threads, and the pool around them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from fastvideo.api.schema import GeneratorConfig, GpuPoolConfig
from fastvideo.entrypoints.streaming.gpu_pool import SubprocessGpuPool
from fastvideo.entrypoints.streaming.segment_events import SegmentFragment, SegmentInit
from fastvideo.entrypoints.streaming.worker_supervisor import Limits

SWIFT = Limits(backoff_s=0.01, max_backoff_s=0.05)


class Threads:
    """Starts thread workers, each with a generator from ``make(index)``, and keeps them."""

    def __init__(self, fakes: Any, make: Callable[[int], Any], **settings: Any) -> None:
        self.make = make
        self.workers: list[Any] = []
        self._fakes, self._settings = fakes, settings

    def __call__(self, index: int, devices: Any, total: int) -> Any:
        self.workers.append(self._fakes.ThreadWorker(lambda: self.make(index), **self._settings))
        return self.workers[-1]


@contextlib.asynccontextmanager
async def pool_of(launch: Any, *, workers: int = 1, model_path: str = "mock:", **settings: Any) -> AsyncIterator[Any]:
    config = GpuPoolConfig(num_workers=workers, sessions_per_worker=settings.pop("places", 4))
    pool = SubprocessGpuPool(
        GeneratorConfig(model_path), pool_config=config, launch=launch, **{"limits": SWIFT, **settings}
    )
    try:
        yield pool
    finally:
        await pool.shutdown()


async def consume(pool: Any, session_id: str, job: Any, **settings: Any) -> list[Any]:
    return [event async for event in pool.stream(session_id, job, **settings)]


def media(events: Any) -> list[bytes]:
    return [event.data for event in events if isinstance(event, SegmentInit | SegmentFragment)]


class Pools:
    """A fixture, because test folders are no packages."""

    Threads = Threads
    of = staticmethod(pool_of)
    consume = staticmethod(consume)
    media = staticmethod(media)


@pytest.fixture
def pools() -> type[Pools]:
    return Pools
