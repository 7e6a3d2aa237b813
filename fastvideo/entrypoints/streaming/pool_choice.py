"""Which pool a serve file asks for, and the pool of worker processes that it describes."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.schema import ServeConfig
from fastvideo.entrypoints.model_path import generator_defaults
from fastvideo.entrypoints.streaming.ray_cluster import RayCluster
from fastvideo.entrypoints.streaming.ray_pool import RayGpuPool
from fastvideo.entrypoints.streaming.session_store import SessionStore
from fastvideo.entrypoints.streaming.subprocess_pool import SubprocessGpuPool
from fastvideo.entrypoints.streaming.visible_devices import visible_devices, worker_devices
from fastvideo.entrypoints.streaming.warmup import Warmup
from fastvideo.entrypoints.streaming.worker_supervisor import Limits


def usable_devices(config: ServeConfig) -> tuple[str, ...]:
    """The visible GPUs, unless the generator has no use for any."""
    return visible_devices() if _uses_gpus(config) else ()


def wants_processes(config: ServeConfig, devices: Sequence[str]) -> bool:
    """Whether ``streaming.pool`` selects worker processes, of this machine or of Ray, on a machine with these GPUs."""
    assert config.streaming is not None
    pool = config.streaming.pool
    if pool.backend == "auto":
        return bool(devices) or (pool.num_workers or 1) > 1
    return pool.backend in ("subprocess", "ray")


def worker_pool(
    config: ServeConfig, devices: Sequence[str], *, session_store: SessionStore | None = None
) -> SubprocessGpuPool:
    """The worker processes that a serve file describes, not started yet: Ray's, or this machine's with ``devices``.

    Raises ConfigValidationError or CheckpointError for what could never start.
    """
    assert config.streaming is not None
    if config.streaming.pool.backend == "ray":
        return ray_pool(config, session_store=session_store)
    return subprocess_pool(config, devices, session_store=session_store)


def subprocess_pool(
    config: ServeConfig, devices: Sequence[str], *, session_store: SessionStore | None = None
) -> SubprocessGpuPool:
    """This machine's processes, with these GPUs dealt out among them; otherwise like :func:`worker_pool`."""
    assert config.streaming is not None
    pool = config.streaming.pool
    memory_gib = pool.worker_memory_gib
    return SubprocessGpuPool(
        config.generator,
        devices=worker_devices(devices, num_workers=pool.num_workers, gpus_per_worker=config.generator.engine.num_gpus),
        limits=_limits(config, None if memory_gib is None else int(memory_gib * (1 << 30))),
        **_settings(config, session_store),
    )


def ray_pool(config: ServeConfig, *, session_store: SessionStore | None = None) -> RayGpuPool:
    """Ray's actors; otherwise like :func:`worker_pool`."""
    assert config.streaming is not None
    pool = config.streaming.pool
    if not _installed("ray"):
        raise ConfigValidationError(
            "streaming.pool.backend", "ray is not installed: pip install 'fastvideo[ray]', or use subprocess"
        )
    if pool.num_workers is None:
        raise ConfigValidationError(
            "streaming.pool.num_workers", "expected a number with ray, whose machines come and go, got null"
        )
    return RayGpuPool(
        config.generator,
        cluster=RayCluster(pool.ray_address, workers=pool.num_workers),
        workers=pool.num_workers,
        gpus_per_worker=config.generator.engine.num_gpus if _uses_gpus(config) else 0,
        # Each worker watches its own memory.
        limits=_limits(config, None),
        **_settings(config, session_store),
    )


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:
        # It was kept from being imported.
        return False


def _uses_gpus(config: ServeConfig) -> bool:
    return not config.generator.model_path.startswith("mock:")


def _limits(config: ServeConfig, memory_bytes: int | None) -> Limits:
    assert config.streaming is not None
    return Limits(
        boot_s=float(config.streaming.warmup.timeout_seconds),
        segment_s=config.streaming.pool.segment_timeout_seconds,
        memory_bytes=memory_bytes,
    )


def _settings(config: ServeConfig, session_store: SessionStore | None) -> dict[str, Any]:
    """What all pools of worker processes take."""
    streaming = config.streaming
    assert streaming is not None
    defaults = generator_defaults(config.generator)
    return {
        "pool_config": streaming.pool,
        "warmup": Warmup.of(config, defaults),
        "session_store": session_store,
        "request_limits": streaming.limits,
        "request_defaults": defaults,
        "queue_length": streaming.queue.max_length,
        "expected_segments": streaming.generation_segment_cap,
    }
