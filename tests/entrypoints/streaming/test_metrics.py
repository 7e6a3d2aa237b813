"""What ``/metrics`` tells, read by Prometheus' own parser."""

from __future__ import annotations

from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from fastvideo.api.schema import GeneratorConfig
from fastvideo.entrypoints.streaming.gpu_pool import SubprocessGpuPool
from fastvideo.entrypoints.streaming.metrics import Metrics
from fastvideo.entrypoints.streaming.mock_server import build_mock_app
from fastvideo.entrypoints.streaming.pool_base import WorkerStanding
from fastvideo.entrypoints.streaming.worker_supervisor import Limits


def samples(text: str) -> dict[str, float]:
    """Each sample by its name and labels, as ``name{label=value}``."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def counted(one: Any) -> dict[str, float]:
    return samples(one.server.metrics.exposition().decode())


async def test_a_segments_time_is_told_by_stage(stage) -> None:
    one = stage(generation_segment_cap=2)
    client = one.open()
    client.say("segment_prompt_source", prompt="x")
    client.say("segment_prompt_source", prompt="y")
    await one.over()
    told = [message["timings"] for message in client.of("ltx2_segment_complete")]
    found = counted(one)
    for name in ("queue", "denoise", "encode"):
        seconds = sum(timings[name] for timings in told) / 1000.0
        assert found[f"fastvideo_segment_stage_seconds_count{{stage={name}}}"] == 2.0
        assert abs(found[f"fastvideo_segment_stage_seconds_sum{{stage={name}}}"] - seconds) < 1e-4
    stages = {key for key in found if key.startswith("fastvideo_segment_stage_seconds_count")}
    assert "fastvideo_segment_stage_seconds_count{stage=first_fragment}" not in stages, "it is a span of other stages"


async def test_a_cancelled_segment_has_no_stages(stage) -> None:
    one = stage(generation_segment_cap=1)
    client = await one.held()
    client.say("segment_cancel")
    await client.hears("segment_cancelled")
    one.generator.free()
    client.say("session_stop")
    await one.over()
    assert not [key for key in counted(one) if key.startswith("fastvideo_segment_stage_seconds_count")]


async def test_stalls_that_players_tell_of_are_counted_within_reason(stage) -> None:
    one = stage(generation_segment_cap=1)
    now = [1000.0]
    one.server.clock = lambda: now[0]
    client = one.open()
    await client.hears("ltx2_stream_start")
    for stalls, counted_by_then in ((0, 0.0), (2, 2.0), (2, 2.0), (10**9, 10.0), (0, 10.0), (10**9, 10.0)):
        client.say("playback_status", position_ms=0, buffered_ms=0, stalls=stalls)
        await client.settled()
        assert counted(one)["fastvideo_stalls_total"] == counted_by_then
    client.say("session_stop")
    await one.over()


async def test_a_segment_that_comes_too_late_is_a_missed_deadline(stage) -> None:
    one = stage(generation_segment_cap=2)
    now = [1000.0]
    one.server.clock = lambda: now[0]
    one.generator.hold()
    # The two steps and the three further partials of one segment.
    one.generator.allow(5)
    client = one.open(curated_prompts=["a"], loop_generation_enabled=True)
    client.say("playback_status", position_ms=0, buffered_ms=1000, stalls=0)
    await client.hears("ltx2_segment_start", 2)
    await client.settled()
    assert counted(one)["fastvideo_deadline_misses_total"] == 0.0
    now[0] += 1.5
    one.generator.free()
    await one.over()
    assert counted(one)["fastvideo_deadline_misses_total"] == 1.0


def test_workers_are_told_by_state_and_their_restarts_add_up() -> None:
    metrics = Metrics()
    workers = [WorkerStanding("a", "busy", restarts=1), WorkerStanding("b", "booting", restarts=2)]
    for _ in range(2):
        metrics.tell_workers(workers)
    metrics.tell_workers([WorkerStanding("a", "ready", restarts=1), WorkerStanding("b", "ready", restarts=3)])
    found = samples(metrics.exposition().decode())
    assert {state: found[f"fastvideo_workers{{state={state}}}"] for state in ("ready", "busy", "booting", "dead")} == {
        "ready": 2.0,
        "busy": 0.0,
        "booting": 0.0,
        "dead": 0.0,
    }
    assert found["fastvideo_worker_restarts_total"] == 4.0


async def test_a_pools_worker_is_busy_while_a_segment_is_made(stage) -> None:
    one = stage(generation_segment_cap=1)
    assert [worker.state for worker in one.server.pool.workers] == ["ready"]
    client = await one.held()
    assert [worker.state for worker in one.server.pool.workers] == ["busy"]
    client.say("session_stop")
    one.generator.free()
    await one.over()


async def test_a_served_worker_that_is_replaced_shows_in_metrics(fakes, stage) -> None:
    workers: list[Any] = []

    def launch(index: int, devices: Any, total: int) -> Any:
        workers.append(fakes.ThreadWorker(fakes.StepGenerator))
        return workers[-1]

    pool = SubprocessGpuPool(GeneratorConfig("mock:"), launch=launch, limits=Limits(backoff_s=0.01))
    one = stage(pool=pool)

    async def read(client: httpx.AsyncClient) -> dict[str, float]:
        return samples((await client.get("/metrics")).text)

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(one.app, client=("127.0.0.1", 1)), base_url="http://localhost"
    ) as client:
        await pool.start()
        found = await read(client)
        assert found["fastvideo_workers{state=ready}"] == 1.0
        assert found["fastvideo_worker_restarts_total"] == 0.0
        workers[0].kill()
        await fakes.until(lambda: len(workers) == 2 and pool.ready)
        found = await read(client)
        assert found["fastvideo_workers{state=ready}"] == 1.0
        assert found["fastvideo_worker_restarts_total"] == 1.0
        await pool.shutdown()
        assert (await read(client))["fastvideo_workers{state=dead}"] == 1.0


def test_the_mock_server_tells_the_same() -> None:
    app = build_mock_app(width=64, height=64, num_frames=8, segment_cap=1)
    with TestClient(app, base_url="http://localhost", client=("127.0.0.1", 1)) as client:
        with client.websocket_connect("/v1/stream") as socket:
            socket.send_json({"type": "session_init_v2"})
            socket.send_json({"type": "segment_prompt_source", "prompt": "x"})
            while True:
                frame = socket.receive()
                if '"ltx2_stream_complete"' in frame.get("text", ""):
                    break
        found = samples(client.get("/metrics").text)
    assert found["fastvideo_segments_total{outcome=complete}"] == 1.0
    for name in ("queue", "denoise", "decode", "encode"):
        assert found[f"fastvideo_segment_stage_seconds_count{{stage={name}}}"] == 1.0
    assert found["fastvideo_workers{state=ready}"] + found["fastvideo_workers{state=busy}"] == 1.0
    for name in ("fastvideo_stalls_total", "fastvideo_deadline_misses_total", "fastvideo_worker_restarts_total"):
        assert found[name] == 0.0
