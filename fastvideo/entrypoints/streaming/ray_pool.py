"""The pool whose workers are Ray actors, on this machine or on others."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import Any

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.schema import GeneratorConfig
from fastvideo.entrypoints.streaming.ray_cluster import RayCluster
from fastvideo.entrypoints.streaming.ray_launch import RayLaunch
from fastvideo.entrypoints.streaming.ray_worker import RayWorker
from fastvideo.entrypoints.streaming.subprocess_pool import SubprocessGpuPool


class RayGpuPool(SubprocessGpuPool):
    """Worker processes as Ray places them: ``workers`` actors in ``cluster``, which is joined in :meth:`start`.

    ``gpus_per_worker``: 0 for a generator that has no use for any. ``actor`` is the workers' class, and ``settings``
    are as for the pool of this machine's processes; who watches a worker's memory is the worker.
    """

    def __init__(
        self,
        generator_config: GeneratorConfig,
        *,
        cluster: RayCluster,
        workers: int,
        gpus_per_worker: int = 0,
        actor: type[RayWorker] = RayWorker,
        **settings: Any,
    ) -> None:
        self._cluster = cluster
        self._workers = workers
        self._gpus_per_worker = gpus_per_worker
        launch = RayLaunch(cluster, gpus=gpus_per_worker, actor=actor)
        super().__init__(generator_config, devices=[()] * workers, launch=launch, **settings)

    async def start(self) -> None:
        """Join the cluster and start the workers. Raises RayUnavailable without a cluster, ConfigValidationError when
        one of this process's own has too few GPUs for them."""
        await asyncio.to_thread(self._cluster.join)
        _take_back_sigterm()
        wanted, found = self._workers * self._gpus_per_worker, self._cluster.gpus
        if self._cluster.own and 0 < found < wanted:
            raise ConfigValidationError(
                "streaming.pool.num_workers",
                f"expected at most {found // self._gpus_per_worker}: {self._workers} x {self._gpus_per_worker} GPUs "
                f"are asked for, and this machine has {found}",
            )
        await super().start()

    async def shutdown(self) -> None:
        await super().shutdown()
        await asyncio.to_thread(self._cluster.leave)


def _take_back_sigterm() -> None:
    """Give SIGTERM to Python again: Ray's library has put a handler before it, which tells of a crash."""
    if threading.current_thread() is threading.main_thread():
        handler = signal.getsignal(signal.SIGTERM)
        if handler is not None:
            signal.signal(signal.SIGTERM, handler)
