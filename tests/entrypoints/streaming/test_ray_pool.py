"""What holds for actors in a real Ray cluster on this machine, beyond what holds for every pool (test_pools.py)."""

import asyncio
import contextlib
import ipaddress
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import psutil
import pytest

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.schema import ContinuationState, GeneratorConfig, GpuPoolConfig
from fastvideo.entrypoints.streaming.gpu_pool import RayGpuPool
from fastvideo.entrypoints.streaming.mock_generator import MockGenerator
from fastvideo.entrypoints.streaming.ray_cluster import RayCluster
from fastvideo.entrypoints.streaming.segment_events import SegmentDone, SegmentFragment, SegmentInit, SegmentProgress
from fastvideo.entrypoints.streaming.worker import run_segment
from fastvideo.entrypoints.streaming.worker_supervisor import Limits


@contextlib.asynccontextmanager
async def pool_of(*, workers: int = 1, model_path: str = "mock:?sleep_ms=1", **settings: Any) -> AsyncIterator[Any]:
    config = GpuPoolConfig(num_workers=workers)
    pool = RayGpuPool(
        GeneratorConfig(model_path),
        cluster=RayCluster(None, workers=workers),
        workers=workers,
        pool_config=config,
        **settings,
    )
    try:
        await asyncio.wait_for(pool.start(), 90)
        yield pool
    finally:
        await pool.shutdown()


async def consume(pool: Any, session_id: str, job: Any) -> list[Any]:
    return [event async for event in pool.stream(session_id, job)]


def media(events: Any) -> list[bytes]:
    return [event.data for event in events if isinstance(event, SegmentInit | SegmentFragment)]


def actors() -> list[psutil.Process]:
    """The processes of workers; what Ray keeps in reserve has another name."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "RayWorker" in " ".join(process.cmdline()):
                found.append(process)
    return found


@pytest.fixture(autouse=True, scope="module")
def cluster(ray_fakes: Any) -> RayCluster:
    """The one of all tests here; the pools' own find themselves in it."""
    found: RayCluster = ray_fakes.cluster
    return found


@pytest.mark.parametrize("after", [SegmentProgress, SegmentFragment])
async def test_a_stream_goes_on_without_a_lost_fragment_when_all_actors_are_killed(fakes, after) -> None:
    job = fakes.job("a red circle", num_inference_steps=3)
    async with pool_of(workers=2, model_path="mock:?sleep_ms=40", retry_s=60.0) as pool:
        await pool.acquire("a")
        events, killed = [], False
        async for event in pool.stream("a", job):
            events.append(event)
            if isinstance(event, after) and not killed:
                killed = True
                for pid in pool._fleet.pids:
                    os.kill(pid, signal.SIGKILL)
        expected = list(run_segment(MockGenerator(sleep_ms=1), job, fakes.token()))
        assert [type(event) for event in events] == [type(event) for event in expected]
        assert media(events) == media(expected)
        assert events[-1].cursor == expected[-1].cursor
        assert sum(worker.restarts for worker in pool.workers) == 2


async def test_an_actor_that_stands_still_is_killed_and_its_segment_made_again(fakes) -> None:
    async with pool_of(
        model_path="mock:?sleep_ms=40", retry_s=60.0, heartbeat_s=0.1, limits=Limits(silence_s=3.0)
    ) as pool:
        await pool.acquire("a")
        stopped = None
        async for event in pool.stream("a", fakes.job(num_inference_steps=3)):
            if isinstance(event, SegmentProgress) and stopped is None:
                (stopped,) = actors()
                stopped.suspend()
        assert isinstance(event, SegmentDone)
        # A process that is stopped does not hear Ray, which ends it after some seconds more.
        await asyncio.to_thread(psutil.wait_procs, [stopped], 30)
        assert not stopped.is_running()


async def test_large_states_and_results_cross_whole(fakes, ray_fakes) -> None:
    state = ContinuationState("ltx2.v1", {"segment_index": 0, "filling": "state" * (4 << 20)})
    frames = np.random.default_rng(0).integers(0, 256, (9, 1024, 1024, 3), np.uint8)
    ray_fakes.relay.generator = generator = fakes.WholeGenerator(lambda _: {"frames": frames})
    async with pool_of(actor=ray_fakes.actor) as pool:
        await pool.acquire("a")
        request = fakes.request()
        request.state = state
        result = await pool.run("a", request)
        assert generator.requests[0].state == state
        assert np.array_equal(result.frames, frames)


async def test_a_pool_that_ends_while_ray_has_no_room_for_its_actors_leaves_none(cluster) -> None:
    # One actor more than the cluster has places for.
    pool = RayGpuPool(GeneratorConfig("mock:"), cluster=RayCluster(None, workers=5), workers=5)
    starting = asyncio.create_task(pool.start())
    async with asyncio.timeout(90):
        while len(pool._fleet.ready) < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert not starting.done()
    await pool.shutdown()
    await starting
    await asyncio.to_thread(psutil.wait_procs, actors(), 30)
    assert actors() == []


JOIN = """
import asyncio, sys
from fastvideo.api.schema import GenerationRequest, GeneratorConfig, SamplingConfig
from fastvideo.entrypoints.streaming.gpu_pool import RayGpuPool
from fastvideo.entrypoints.streaming.ray_cluster import RayCluster
from fastvideo.entrypoints.streaming.segment_events import SegmentFragment, SegmentJob
from fastvideo.media.timeline import MediaCursor

async def main():
    cluster = RayCluster(sys.argv[1], workers=1)
    pool = RayGpuPool(GeneratorConfig("mock:?sleep_ms=1"), cluster=cluster, workers=1)
    await pool.start()
    await pool.acquire("a")
    sampling = SamplingConfig(width=64, height=64, num_frames=9, fps=8, num_inference_steps=1)
    job = SegmentJob(GenerationRequest(prompt="a red circle", sampling=sampling), MediaCursor.start())
    events = [event async for event in pool.stream("a", job)]
    await pool.shutdown()
    print(cluster.own, sum(isinstance(event, SegmentFragment) for event in events))

asyncio.run(main())
"""


async def test_a_cluster_that_was_joined_goes_on_when_it_is_left(cluster) -> None:
    import ray

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", JOIN, cluster.address or ray.get_runtime_context().gcs_address),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0
    own, fragments = said.split()[-2:]
    assert (own, int(fragments) > 0) == (b"False", True)
    assert [node["Alive"] for node in ray.nodes()] == [True]
    assert actors() == []


def test_a_cluster_of_its_own_listens_on_the_loopback_interface_alone() -> None:
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = [
        connection.laddr
        for process in family
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    # The control store, the node's manager and store, this process, and a few more.
    assert len(listening) >= 4
    for address in listening:
        ip = ipaddress.ip_address(address.ip)
        assert (getattr(ip, "ipv4_mapped", None) or ip).is_loopback, address


async def test_more_gpus_than_a_cluster_of_its_own_has_are_refused(fakes) -> None:
    cluster = RayCluster(None, workers=2)
    cluster.gpus = 1
    cluster.join = lambda: None  # type: ignore[method-assign]
    pool = RayGpuPool(GeneratorConfig("tiny:"), cluster=cluster, workers=2, gpus_per_worker=1)
    with pytest.raises(ConfigValidationError, match="expected at most 1: 2 x 1 GPUs") as caught:
        await pool.start()
    assert caught.value.path == "streaming.pool.num_workers"
    await pool.shutdown()
