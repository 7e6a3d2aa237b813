"""Results whose frames come out of worker processes through the ring."""

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import GenerationCancelled, GenerationFailed
from fastvideo.api.results import GenerationResult
from fastvideo.api.schema import GeneratorConfig, GpuPoolConfig
from fastvideo.entrypoints.streaming.frames_view import FramesView
from fastvideo.entrypoints.streaming.gpu_pool import InProcessGpuPool, SubprocessGpuPool
from fastvideo.entrypoints.streaming.mock_generator import MockGenerator
from fastvideo.entrypoints.streaming.ring_memory import RingMemory
from fastvideo.entrypoints.streaming.segment_channel import ReaderTooSlow
from fastvideo.entrypoints.streaming.segment_events import SegmentDone
from fastvideo.entrypoints.streaming.worker_launch import launch_worker
from fastvideo.entrypoints.streaming.worker_messages import ResultFrames, RingFrames
from fastvideo.entrypoints.streaming.worker_supervisor import Limits
from fastvideo.entrypoints.streaming.worker_turn import WorkerTurn

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has files without a name")
FRAME_BYTES = 64 * 64 * 3
# Four frames of the tests' eight.
RING_BYTES = 4 * FRAME_BYTES


def left_over() -> dict[str, Any]:
    """What this process has open, has mapped of rings, has started, and has given a name in shared memory."""
    descriptors = {}
    for name in os.listdir("/proc/self/fd"):
        # The one that lists them is gone by now.
        with contextlib.suppress(FileNotFoundError):
            descriptors[name] = os.readlink(f"/proc/self/fd/{name}")
    return {
        "descriptors": descriptors,
        "rings": [line for line in Path("/proc/self/maps").read_text().splitlines() if "fastvideo-ring" in line],
        "processes": [process.pid for process in psutil.Process().children(recursive=True)],
        # Other tests, and browsers, have files of their own there.
        "names": sorted(name for name in os.listdir("/dev/shm") if name.startswith(("fastvideo-ring", "psm_"))),
    }


class Launch:
    """Starts workers that are threads (around a generator from ``make``) or processes, and keeps them."""

    def __init__(self, fakes: Any = None, make: Any = None, **settings: Any) -> None:
        self._fakes, self._make, self._settings = fakes, make, settings
        self.workers: list[Any] = []

    def __call__(self, index: int, devices: Any, total: int) -> Any:
        if self._make is None:
            self.workers.append(launch_worker(index, devices, total))
        else:
            self.workers.append(self._fakes.ThreadWorker(self._make, **self._settings))
        return self.workers[-1]


@contextlib.asynccontextmanager
async def pool_of(launch: Any, *, ring_bytes: int = RING_BYTES, **settings: Any) -> AsyncIterator[Any]:
    """A pool with a session ``a``; checks that nothing is left of it."""
    await asyncio.to_thread(lambda: None)
    before = left_over()
    pool = SubprocessGpuPool(
        GeneratorConfig("mock:"),
        pool_config=GpuPoolConfig(sessions_per_worker=2),
        launch=launch,
        ring_bytes=ring_bytes,
        limits=Limits(backoff_s=0.01, max_backoff_s=0.05),
        # A process takes long to start while other tests run.
        retry_s=60.0,
        **settings,
    )
    try:
        await asyncio.wait_for(pool.start(), 60)
        await pool.acquire("a")
        yield pool
    finally:
        await pool.shutdown()
    for worker in launch.workers:
        assert await asyncio.to_thread(worker.wait, 10)
    # An exception that was logged may hold frames, and with them the ring, in a cycle until they are collected.
    for _ in range(100):
        if left_over() == before:
            break
        gc.collect()
        await asyncio.sleep(0.01)
    assert left_over() == before


async def expected(request: Any, generator: Any = None) -> Any:
    """What the pool in this process gives."""
    pool = InProcessGpuPool(generator or MockGenerator(), config=GpuPoolConfig())
    await pool.acquire("a")
    try:
        return await pool.run("a", request)
    finally:
        await pool.shutdown()


def noise(request: Any) -> dict[str, Any]:
    """A third party's result: as many frames as asked for, in a list."""
    shape = (request.sampling.num_frames, request.sampling.height, request.sampling.width, 3)
    return {"frames": list(np.random.default_rng(request.sampling.seed).integers(0, 256, shape, np.uint8))}


async def first_view(stream: Any) -> FramesView:
    view = await anext(stream)
    assert isinstance(view, FramesView)
    return view


def held_views(pool: Any) -> int:
    return int(pool._fleet._workers[0].link._ring.held_views)


@pytest.mark.parametrize("ring_bytes", [RING_BYTES, FRAME_BYTES, FRAME_BYTES - 1, 32 << 20])
async def test_a_result_out_of_a_process_is_bit_for_bit_that_of_the_pool_in_this_one(fakes, ring_bytes) -> None:
    async with pool_of(Launch(), ring_bytes=ring_bytes) as pool:
        for prompt in ("a red circle", "a blue square"):
            request = fakes.request(prompt, num_frames=25)
            result, here = await pool.run("a", request), await expected(request)
            assert isinstance(result, GenerationResult)
            assert result.frames.dtype == here["frames"].dtype == np.uint8
            np.testing.assert_array_equal(result.frames, here["frames"])
            np.testing.assert_array_equal(result.audio, here["audio"])
            assert result.state == here["state"]
            # It is the caller's own: nothing writes into it later.
            assert result.frames.flags.writeable


async def test_only_frames_too_large_for_the_ring_pass_through_the_socket(fakes, monkeypatch) -> None:
    ways: list[type] = []
    put = WorkerTurn.put

    def note(self: Any, item: Any) -> None:
        ways.append(type(item))
        put(self, item)

    monkeypatch.setattr(WorkerTurn, "put", note)
    async with pool_of(Launch(fakes, lambda: fakes.WholeGenerator(noise))) as pool:
        await pool.run("a", fakes.request())
        assert ways.count(FramesView) == 8
        assert ResultFrames not in ways
        large = fakes.request(width=256, height=256)
        result = await pool.run("a", large)
        assert ways.count(FramesView) == 8
        assert ResultFrames in ways
        np.testing.assert_array_equal(result.frames, noise(large)["frames"])


async def test_without_files_that_have_no_name_frames_pass_through_the_socket(fakes, monkeypatch) -> None:
    def nothing(size_bytes: int) -> None:
        raise OSError("no more descriptors")

    for create in (lambda size_bytes: None, nothing):
        monkeypatch.setattr(RingMemory, "create", create)
        async with pool_of(Launch(fakes, lambda: fakes.WholeGenerator(noise))) as pool:
            result = await pool.run("a", fakes.request())
            np.testing.assert_array_equal(result.frames, noise(fakes.request())["frames"])


async def test_a_pool_that_only_streams_pays_nothing_for_the_ring(fakes) -> None:
    async with pool_of(Launch()) as pool:
        async for event in pool.stream("a", fakes.job()):
            done = event
        assert isinstance(done, SegmentDone)
        ring = pool._fleet._workers[0].link._ring
        assert os.fstat(ring._memory._descriptor).st_blocks == 0
        assert left_over()["rings"] == []
        await pool.run("a", fakes.request())
        assert os.fstat(ring._memory._descriptor).st_blocks * 512 == RING_BYTES


async def test_views_are_seen_in_order_and_what_is_held_does_not_change(fakes) -> None:
    request = fakes.request(num_frames=32)
    frames = noise(request)["frames"]
    async with pool_of(Launch(fakes, lambda: fakes.WholeGenerator(noise))) as pool:
        stream = pool.views("a", request)
        kept = await first_view(stream)
        seen = len(kept.frames)
        async for item in stream:
            if isinstance(item, GenerationResult):
                assert item.frames is None
                break
            with item as view:
                assert (view.first_frame, view.total_frames) == (seen, 32)
                np.testing.assert_array_equal(view.frames, frames[seen : seen + len(view.frames)])
                seen += len(view.frames)
        await stream.aclose()
        assert seen == 32
        np.testing.assert_array_equal(kept.frames, frames[: len(kept.frames)])
        kept.release()
        assert held_views(pool) == 0


async def test_a_worker_killed_while_views_are_held_takes_none_of_them_and_its_frames_come_again(fakes) -> None:
    request = fakes.request("a red circle", num_frames=25)
    here = (await expected(request))["frames"]
    async with pool_of(Launch()) as pool:
        whole, held = np.zeros_like(here), []
        async with contextlib.aclosing(pool.views("a", request)) as stream:
            held = [await first_view(stream), await first_view(stream)]
            os.kill(pool._fleet.pids[0], signal.SIGKILL)
            await fakes.until(lambda: not pool.ready)
            async for item in stream:
                if isinstance(item, FramesView):
                    with item as view:
                        whole[view.first_frame : view.first_frame + len(view.frames)] = view.frames
                        began_again = view.first_frame == 0
                        if began_again:
                            # What a dead worker's ring holds can still be read, and its release concerns nobody.
                            np.testing.assert_array_equal(held[0].frames, here[: len(held[0].frames)])
                            held[0].release()
        np.testing.assert_array_equal(whole, here)
        np.testing.assert_array_equal((await pool.run("a", request)).frames, here)
        np.testing.assert_array_equal(held[1].frames, here[1:2])
        held[1].release()


async def test_results_stay_whole_while_workers_are_killed_and_nothing_is_left(fakes) -> None:
    request = fakes.request("a red circle", num_frames=65)
    here = (await expected(request))["frames"]
    async with pool_of(Launch()) as pool:
        for kill_at in (0, 5, 40):
            async with contextlib.aclosing(pool.views("a", request)) as stream:
                async for item in stream:
                    if isinstance(item, FramesView):
                        item.release()
                        if item.first_frame == kill_at:
                            os.kill(pool._fleet.pids[0], signal.SIGKILL)
                            break
        running = asyncio.create_task(pool.run("a", request))
        await fakes.until(lambda: pool.ready)
        os.kill(pool._fleet.pids[0], signal.SIGKILL)
        np.testing.assert_array_equal((await running).frames, here)


async def test_a_job_cancelled_while_the_ring_is_full_ends_and_the_worker_does_the_next(fakes) -> None:
    request, cancel = fakes.request(num_frames=32), CancellationToken()
    async with pool_of(Launch(fakes, lambda: fakes.WholeGenerator(noise))) as pool:
        async with contextlib.aclosing(pool.views("a", request, cancel=cancel)) as stream:
            kept = await first_view(stream)
            await fakes.until(lambda: held_views(pool) == 4)
            cancel.cancel()
            late = []
            with pytest.raises(GenerationCancelled):
                async for item in stream:
                    late.append(item)
        for view in late:
            view.release()
        # One place is held from before.
        np.testing.assert_array_equal((await pool.run("a", request)).frames, noise(request)["frames"])
        np.testing.assert_array_equal(kept.frames[0], noise(request)["frames"][0])
        kept.release()
        assert held_views(pool) == 0


async def test_a_reader_that_leaves_while_the_ring_is_full_gives_all_of_it_back(fakes) -> None:
    request = fakes.request(num_frames=32)
    async with pool_of(Launch(fakes, lambda: fakes.WholeGenerator(noise))) as pool:
        stream = pool.views("a", request)
        (await first_view(stream)).release()
        await fakes.until(lambda: held_views(pool) == 4)
        await stream.aclose()
        np.testing.assert_array_equal((await pool.run("a", request)).frames, noise(request)["frames"])
        await fakes.until(lambda: held_views(pool) == 0)


async def test_a_pool_that_shuts_down_while_the_ring_is_full_does_not_wait_for_its_reader(fakes) -> None:
    async with pool_of(Launch(fakes, lambda: fakes.WholeGenerator(noise))) as pool:
        stream = pool.views("a", fakes.request(num_frames=32))
        view = await first_view(stream)
        await fakes.until(lambda: held_views(pool) == 4)
        await asyncio.wait_for(pool.shutdown(), 5)
        assert view.frames.shape == (1, 64, 64, 3)
        view.release()
        await stream.aclose()


async def test_a_reader_that_keeps_everything_loses_its_result_and_not_the_worker(fakes) -> None:
    request = fakes.request(num_frames=32)
    async with pool_of(Launch(fakes, lambda: fakes.WholeGenerator(noise), stall_s=0.05)) as pool:
        held = []
        async with contextlib.aclosing(pool.views("a", request)) as stream:
            with pytest.raises(ReaderTooSlow):
                async for item in stream:
                    held.append(item)
        assert len(held) == 4
        for view in held:
            view.release()
        # As many as the ring holds: no wait for a reader that is slow because the machine is busy.
        request = fakes.request(num_frames=4)
        np.testing.assert_array_equal((await pool.run("a", request)).frames, noise(request)["frames"])


@pytest.mark.parametrize(
    "told",
    [
        {"offset": RING_BYTES},
        {"offset": 4096 * 10, "shape": (1, 64, 64, 3)},
        {"shape": (5, 64, 64, 3), "total_frames": 9},
        {"shape": (0, 64, 64, 3)},
        {"first_frame": 1, "total_frames": 1},
        {"total_frames": 2**31 - 1},
        {"shape": (1, 2**31 - 1, 2**31 - 1, 3)},
    ],
)
async def test_a_worker_that_tells_of_frames_where_none_can_be_is_replaced(fakes, told, monkeypatch) -> None:
    honest = RingFrames
    lies = [told]

    def tell(*values: Any) -> Any:
        message = honest(*values)
        return message if not lies else honest(**{**_fields(message), **lies.pop()})

    monkeypatch.setattr("fastvideo.entrypoints.streaming.ring_writer.RingFrames", tell)
    launch = Launch(fakes, lambda: fakes.WholeGenerator(noise))
    async with pool_of(launch) as pool:
        result = await pool.run("a", fakes.request())
        assert len(launch.workers) == 2
        np.testing.assert_array_equal(result.frames, noise(fakes.request())["frames"])


async def test_a_worker_that_leaves_frames_out_fails_the_result_rather_than_show_what_memory_held(
    fakes, monkeypatch
) -> None:
    def too_many(job_id: int, offset: int, shape: Any, first: int, total: int) -> RingFrames:
        return RingFrames(job_id, offset, shape, first, total + 1)

    monkeypatch.setattr("fastvideo.entrypoints.streaming.ring_writer.RingFrames", too_many)
    async with pool_of(Launch(fakes, lambda: fakes.WholeGenerator(noise))) as pool:
        with pytest.raises(GenerationFailed, match="8 of 9 frames"):
            await pool.run("a", fakes.request())


async def test_other_sessions_are_served_while_a_result_is_copied(fakes) -> None:
    # A copy takes milliseconds, in which the loop must not stand still: it is made on another thread.
    threads: set[int] = set()

    class Watched(np.ndarray):
        def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
            threads.add(threading.get_ident())
            plain = [np.asarray(value) if isinstance(value, Watched) else value for value in args]
            return function(*plain, **kwargs)

    async with pool_of(Launch(fakes, lambda: fakes.WholeGenerator(noise))) as pool:
        frames = FramesView.frames.fget

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FramesView, "frames", property(lambda self: frames(self).view(Watched)))
            await pool.run("a", fakes.request())
    assert threads
    assert threading.get_ident() not in threads


def _fields(message: RingFrames) -> dict[str, Any]:
    return {name: getattr(message, name) for name in RingFrames.__slots__}
