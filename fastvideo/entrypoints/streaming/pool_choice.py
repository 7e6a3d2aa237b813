"""Which pool a serve file asks for, and the pool of worker processes that it describes."""

from __future__ import annotations

from collections.abc import Sequence

from fastvideo.api.schema import ServeConfig
from fastvideo.entrypoints.model_path import generator_defaults
from fastvideo.entrypoints.streaming.session_store import SessionStore
from fastvideo.entrypoints.streaming.subprocess_pool import SubprocessGpuPool
from fastvideo.entrypoints.streaming.visible_devices import visible_devices, worker_devices
from fastvideo.entrypoints.streaming.warmup import Warmup
from fastvideo.entrypoints.streaming.worker_supervisor import Limits


def usable_devices(config: ServeConfig) -> tuple[str, ...]:
    """The visible GPUs, unless the generator has no use for any."""
    return () if config.generator.model_path.startswith("mock:") else visible_devices()


def wants_processes(config: ServeConfig, devices: Sequence[str]) -> bool:
    """Whether ``streaming.pool`` selects worker processes on a machine with these GPUs."""
    assert config.streaming is not None
    pool = config.streaming.pool
    if pool.backend == "auto":
        return bool(devices) or (pool.num_workers or 1) > 1
    return pool.backend == "subprocess"


def subprocess_pool(
    config: ServeConfig, devices: Sequence[str], *, session_store: SessionStore | None = None
) -> SubprocessGpuPool:
    """The worker processes that a serve file describes, not started yet.

    Raises ConfigValidationError or CheckpointError for what could never start.
    """
    streaming = config.streaming
    assert streaming is not None
    pool = streaming.pool
    defaults = generator_defaults(config.generator)
    memory_gib = pool.worker_memory_gib
    return SubprocessGpuPool(
        config.generator,
        pool_config=pool,
        warmup=Warmup.of(config, defaults),
        session_store=session_store,
        devices=worker_devices(devices, num_workers=pool.num_workers, gpus_per_worker=config.generator.engine.num_gpus),
        limits=Limits(
            boot_s=float(streaming.warmup.timeout_seconds),
            segment_s=pool.segment_timeout_seconds,
            memory_bytes=None if memory_gib is None else int(memory_gib * (1 << 30)),
        ),
        request_limits=streaming.limits,
        request_defaults=defaults,
        queue_length=streaming.queue.max_length,
        expected_segments=streaming.generation_segment_cap,
    )
