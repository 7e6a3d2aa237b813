"""The pools, under their documented names."""

from fastvideo.entrypoints.streaming.admission import QueueFull
from fastvideo.entrypoints.streaming.in_process_pool import InProcessGpuPool
from fastvideo.entrypoints.streaming.pool_base import (
    GpuPool,
    PoolAcquireTimeout,
    PoolAssignment,
    PoolHealth,
    PoolUnavailable,
)
from fastvideo.entrypoints.streaming.ray_pool import RayGpuPool
from fastvideo.entrypoints.streaming.subprocess_pool import SubprocessGpuPool
from fastvideo.entrypoints.streaming.worker import worker_main

__all__ = [
    "GpuPool",
    "InProcessGpuPool",
    "PoolAcquireTimeout",
    "PoolAssignment",
    "PoolHealth",
    "PoolUnavailable",
    "QueueFull",
    "RayGpuPool",
    "SubprocessGpuPool",
    "worker_main",
]
