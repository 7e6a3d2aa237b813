"""Which pool a serve file gets, and `fastvideo serve` over real worker processes."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import websockets

from fastvideo.api.errors import CheckpointError, ConfigValidationError
from fastvideo.api.schema import GpuPoolConfig, WarmupConfig
from fastvideo.entrypoints.streaming.gpu_pool import InProcessGpuPool, RayGpuPool, SubprocessGpuPool
from fastvideo.entrypoints.streaming.pool_choice import subprocess_pool, usable_devices, wants_processes, worker_pool
from fastvideo.entrypoints.streaming.server import build_app

CONFIG = Path(__file__).parents[3] / "configs" / "serve_mock_pool.yaml"


@pytest.mark.parametrize(
    ("backend", "num_workers", "devices", "processes"),
    [
        ("auto", None, (), False),
        ("auto", 1, (), False),
        ("auto", 2, (), True),
        ("auto", None, ("0",), True),
        ("in_process", None, ("0", "1"), False),
        ("subprocess", None, (), True),
        ("ray", 2, (), True),
    ],
)
def test_the_backend_follows_the_file_and_the_machine(fakes, backend, num_workers, devices, processes) -> None:
    config = fakes.config(pool=GpuPoolConfig(backend=backend, num_workers=num_workers))
    assert wants_processes(config, devices) is processes


def test_the_fake_generator_has_no_use_for_a_gpu(fakes, monkeypatch) -> None:
    monkeypatch.setattr("fastvideo.entrypoints.streaming.pool_choice.visible_devices", lambda: ("0", "1"))
    config = fakes.config()
    assert usable_devices(config) == ()
    config.generator.model_path = "tiny:"
    assert usable_devices(config) == ("0", "1")


def test_an_app_without_a_generator_gets_the_workers_that_its_file_asks_for(fakes) -> None:
    config = fakes.config(pool=GpuPoolConfig(num_workers=2))
    pool = build_app(config).state.server_state.pool
    assert isinstance(pool, SubprocessGpuPool)
    assert pool.health().total_workers == 2
    assert isinstance(build_app(config, fakes.StepGenerator()).state.server_state.pool, InProcessGpuPool)
    with pytest.raises(ValueError, match="either"):
        build_app(fakes.config())
    for backend in ("subprocess", "ray"):
        with pytest.raises(ConfigValidationError, match="build their own"):
            build_app(fakes.config(pool=GpuPoolConfig(backend=backend, num_workers=2)), fakes.StepGenerator())


def test_ray_gets_as_many_actors_as_the_file_says_and_starts_nothing_yet(fakes, monkeypatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    config = fakes.config(pool=GpuPoolConfig(backend="ray", num_workers=3, ray_address="auto", worker_memory_gib=8.0))
    pool = build_app(config).state.server_state.pool
    assert isinstance(pool, RayGpuPool)
    assert pool.health().total_workers == 3
    assert isinstance(worker_pool(fakes.config(pool=GpuPoolConfig(num_workers=2)), ()), SubprocessGpuPool)
    config = fakes.config(pool=GpuPoolConfig(backend="ray"))
    with pytest.raises(ConfigValidationError, match="expected a number") as caught:
        worker_pool(config, ())
    assert caught.value.path == "streaming.pool.num_workers"


NO_RAY = """
import sys
sys.modules["ray"] = None
import fastvideo.entrypoints.streaming.gpu_pool
from fastvideo.entrypoints.cli.main import main
sys.exit(main(["serve", "--config", "configs/serve_ray.yaml", "--server.port", "0"]))
"""


def test_without_ray_everything_else_works_and_its_backend_names_the_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_RAY], cwd=CONFIG.parents[1], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 3
    assert "streaming.pool.backend: ray is not installed: pip install 'fastvideo[ray]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_what_could_never_start_is_told_before_anything_does(fakes, tmp_path) -> None:
    config = fakes.config(pool=GpuPoolConfig(num_workers=2))
    config.generator.model_path = "mock:?speed=3"
    with pytest.raises(ConfigValidationError):
        subprocess_pool(config, ())
    config.generator.model_path = str(tmp_path / "nothing.safetensors")
    with pytest.raises(CheckpointError):
        subprocess_pool(config, ())
    config.generator.model_path = "tiny:?seed=x"
    with pytest.raises(ConfigValidationError):
        subprocess_pool(config, ())
    config.generator.model_path = "tiny:"
    with pytest.raises(ConfigValidationError, match="visible"):
        subprocess_pool(config, ("0",))


def test_a_model_is_announced_with_its_presets_sizes_before_a_worker_has_it(fakes) -> None:
    config = fakes.config(pool=GpuPoolConfig(num_workers=2), warmup=WarmupConfig(enabled=True))
    config.generator.model_path = "tiny:"
    assert subprocess_pool(config, ()).request_defaults["fps"] == 24


# --- the whole server, as people start it


class Served:
    """`fastvideo serve` in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url
        self.http = httpx.AsyncClient(base_url=url, trust_env=False)

    @property
    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    async def ready(self, count: int) -> None:
        async with asyncio.timeout(60):
            while (await self.http.get("/readyz")).json()["ready_gpu_workers"] < count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


QUICK = (
    *("--default_request.sampling.width", "64", "--default_request.sampling.height", "64"),
    *("--default_request.sampling.num_frames", "49", "--streaming.generation_segment_cap", "1"),
)


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[Served]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fastvideo.entrypoints.cli.main", "serve", "--config", str(CONFIG)),
        *("--server.port", "0", *QUICK),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        running = Served(process, line.decode().split()[-1])
        # Each request is logged, and nobody reads: a full pipe would hold up the server, and the end of its process.
        drained = asyncio.create_task(process.stdout.read())
        async with running.http:
            yield running
        await drained
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def watch(running: Served, prompt: str, kill: Any = None) -> tuple[list[Any], int | None]:
    """One session of one segment; ``kill`` is called when half of its fragments have come."""
    got: list[Any] = []
    async with websockets.connect(
        running.url.replace("http", "ws") + "/v1/stream", max_size=None, compression=None, proxy=None
    ) as client:
        await client.send(json.dumps({"type": "session_init_v2", "single_clip_mode": True}))
        await client.send(json.dumps({"type": "segment_prompt_source", "prompt": prompt}))
        async with asyncio.timeout(60):
            async for frame in client:
                got.append(json.loads(frame) if isinstance(frame, str) else frame)
                if isinstance(frame, bytes) and kill is not None and sum(isinstance(f, bytes) for f in got) == 4:
                    kill()
                if isinstance(frame, str) and got[-1]["type"] in ("ltx2_segment_complete", "error"):
                    await client.send(json.dumps({"type": "session_stop"}))
    return got, client.close_code


async def test_a_served_stream_outlives_kill_9_of_every_worker_and_the_server_leaves_nothing() -> None:
    async with served() as running:
        async with asyncio.timeout(20):
            while (early := await running.http.get("/readyz")).status_code != 200:
                assert early.json()["status"] == "warming"
        await running.ready(2)
        whole, code = await watch(running, "a red circle")
        assert code == 1000
        status = (await running.http.get("/status")).json()
        assert (status["total_gpus"], status["available_gpus"], status["warmup_successful_gpus"]) == (2, 2, 2)
        assert {worker["current_model_id"] for worker in status["gpu_status"].values()} == {"mock"}
        old = {worker.pid for worker in running.workers}
        assert len(old) == 2

        def kill_all() -> None:
            for pid in old:
                os.kill(pid, signal.SIGKILL)

        again, code = await watch(running, "a red circle", kill_all)
        assert code == 1000
        assert [f for f in again if isinstance(f, bytes)] == [f for f in whole if isinstance(f, bytes)]
        assert not [m for m in again if isinstance(m, dict) and m["type"] == "error"]
        await running.ready(2)
        new = running.workers
        assert len(new) == 2
        assert not old & {worker.pid for worker in new}
        running.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(running.process.wait(), 20)
        assert not [worker for worker in new if worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE]


async def test_workers_end_with_a_server_that_is_killed() -> None:
    async with served() as running:
        await running.ready(2)
        workers = running.workers
        running.process.kill()
        await running.process.wait()
        _, alive = await asyncio.to_thread(psutil.wait_procs, workers, 10)
        assert alive == []
