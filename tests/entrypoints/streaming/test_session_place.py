"""Sessions that wait for a worker, or give one away, with the real pool, worker and encoder."""

from fastvideo.api.schema import GpuPoolConfig, QueueConfig
from fastvideo.entrypoints.streaming.session import SessionState


async def test_a_session_that_waits_hears_its_place_and_can_already_speak(stage) -> None:
    one = stage(pool=None, generation_segment_cap=1, queue=QueueConfig(max_length=5))
    one.server.pool._admission.set_slots(1, 0.0)
    first = await one.held()
    second, third = one.open(), one.open()
    await third.hears("queue_status")
    assert [(item["position"], item["queue_depth"]) for item in second.of("queue_status")] == [(0, 1), (0, 2)]
    assert [(item["position"], item["queue_depth"]) for item in third.of("queue_status")] == [(1, 2)]
    assert "session_id" not in second.of("queue_status")[1]
    second.say("ping", id=1)
    second.say("segment_prompt_source", prompt="second")
    await second.hears("pong")
    third.leave()
    await one.over(2)
    await second.hears("queue_status", 3)
    one.generator.free()
    await one.over(0)
    await one.over(1)
    assert len(first.of("queue_status")) == 1
    assert second.of("queue_status")[2]["queue_depth"] == 1
    assert second.of("queue_status")[-1]["eta_ms"] >= 1000
    assert second.of("ltx2_stream_complete")[0]["reason"] == "segment_cap"


async def test_a_session_that_waits_too_long_gets_no_worker(stage) -> None:
    one = stage(session_timeout_seconds=1)
    one.server.pool._admission.set_slots(0, 0.0)
    client = one.open()
    session = one.only_session
    await one.over()
    error = client.of("error")[0]
    assert (error["code"], error["retryable"]) == ("gpu_unavailable", True)
    assert client.closed == (1013, "gpu_unavailable")
    assert session.state is SessionState.ERROR


async def test_a_queue_that_is_full_rejects_with_a_retry(stage) -> None:
    one = stage(queue=QueueConfig(max_length=0))
    one.server.pool._admission.set_slots(0, 0.0)
    client = one.open()
    await one.over()
    assert client.of("error")[0]["code"] == "gpu_unavailable"
    assert client.closed == (1013, "gpu_unavailable")


async def test_an_idle_session_yields_and_queues_again_with_its_next_prompt_and_its_state(stage) -> None:
    from fastvideo.entrypoints.streaming.in_process_pool import InProcessGpuPool

    one = stage()
    pool = InProcessGpuPool(
        one.generator, config=GpuPoolConfig(sessions_per_worker=1, idle_yield_seconds=0.05), queue_length=5
    )
    one.server.pool = pool
    try:
        idle = one.open()
        idle.say("segment_prompt_source", prompt="idle 1")
        await idle.hears("ltx2_segment_complete")
        other = one.open()
        await other.hears("ltx2_stream_start")
        one.generator.hold()
        other.say("segment_prompt_source", prompt="other")
        await other.hears("ltx2_segment_start")
        idle.say("segment_prompt_source", prompt="idle 2")
        again = await idle.hears("queue_status", 2)
        assert (again["position"], again["queue_depth"]) == (0, 1)
        one.generator.free()
        await idle.hears("ltx2_segment_complete", 2)
        assert one.generator.requests[-1].state.payload["segment_index"] == 0
        assert len(idle.of("gpu_assigned")) == 1
    finally:
        await pool.shutdown()
