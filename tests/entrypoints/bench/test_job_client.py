from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from fastvideo.entrypoints.bench import job_client
from fastvideo.entrypoints.bench.job import JobOutcome, JobRequest, Task, calculate_metrics
from fastvideo.entrypoints.bench.job_client import JobClient, wait_for_service
from fastvideo.entrypoints.bench.job_load import JobLoad


class Server:
    """Answers by path; ``asked`` keeps what came. Time goes on by one second at each request."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.bodies: list[Any] = []
        self.now_s = 100.0

    def clock(self) -> float:
        return self.now_s

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.now_s += 1.0
        kind = "events" if request.url.path.endswith("/events") else request.method.lower()
        self.asked.append(f"{request.method} {request.url.path}")
        if request.content:
            self.bodies.append(json.loads(request.content))
        answer = self.answers[kind]
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(200, json=answer)


def video(status: str, **more: Any) -> dict[str, Any]:
    return {"id": "video_1", "status": status, "seconds": "2", **more}


def events(*videos: dict[str, Any]) -> httpx.Response:
    lines = "".join(f": still there\n\nevent: video\ndata: {json.dumps(one)}\n\n" for one in videos)
    return httpx.Response(200, text=lines, headers={"content-type": "text/event-stream"})


async def outcome_of(server: Server, request: JobRequest | None = None, **settings: Any) -> JobOutcome:
    outcome = JobOutcome(100.0)
    transport = httpx.MockTransport(server)
    async with JobClient("http://server", **{"timeout_s": 30.0, "transport": transport, **settings}) as client:
        await client.run(request or JobRequest("a cat"), outcome, server.clock)
    return outcome


async def test_a_job_is_followed_by_its_events_and_removed_after_its_time_was_taken() -> None:
    done = video("completed", inference_time_s=1.5, peak_memory_mb=12.0)
    server = Server(post=video("queued"), events=events(video("in_progress"), done), delete=video("deleted"))
    outcome = await outcome_of(server)
    assert server.asked == ["POST /v1/videos", "GET /v1/videos/video_1/events", "DELETE /v1/videos/video_1"]
    assert (outcome.sent_s, outcome.ended_s, outcome.latency_s, outcome.fault) == (100.0, 102.0, 2.0, None)
    assert (outcome.video_s, outcome.server_s, outcome.peak_memory_mb) == (2.0, 1.5, 12.0)


async def test_a_server_without_events_is_asked_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_client, "POLL_S", 0.0)
    waiting = [video("queued"), video("in_progress"), video("completed")]
    server = Server(post=video("queued"), events=httpx.Response(404), get=waiting, delete=video("deleted"))
    outcome = await outcome_of(server, keep=True)
    assert server.asked[2:] == ["GET /v1/videos/video_1"] * 3
    assert outcome.completed


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        ({"post": httpx.Response(429, json={"error": {"code": "queue_full"}})}, "429 queue_full"),
        ({"post": httpx.Response(500, text="<html>a proxy's words</html>")}, "500"),
        ({"post": httpx.Response(400, json={"error": {"code": "words of <b>theirs</b>"}})}, "400"),
        ({"post": httpx.Response(200, text="no JSON")}, "answer that is none"),
        ({"post": {"id": "../../etc", "status": "queued"}}, "answer that is none"),
        ({"post": httpx.ConnectError("refused")}, "unreachable"),
        ({"post": video("queued"), "events": httpx.ReadError("reset")}, "connection lost"),
        (
            {"post": video("queued"), "events": events(video("failed", error={"code": "worker_failed"}))},
            "failed: worker_failed",
        ),
        (
            {"post": video("queued"), "events": httpx.Response(404), "get": httpx.Response(404, text="")},
            "failed: 404",
        ),
    ],
)
async def test_each_way_to_fail_is_counted_under_a_name_of_its_own(answers: dict[str, Any], fault: str) -> None:
    outcome = await outcome_of(Server(delete=video("deleted"), **answers))
    assert (outcome.fault, outcome.completed, outcome.latency_s) == (fault, False, None)


async def test_a_job_that_takes_too_long_is_given_up_and_removed() -> None:
    asked: list[str] = []

    async def never(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        if request.url.path.endswith("/events"):
            await asyncio.Event().wait()
        return httpx.Response(200, json=video("queued"))

    outcome = JobOutcome(0.0)
    async with JobClient("http://server", timeout_s=0.05, transport=httpx.MockTransport(never)) as client:
        await client.run(JobRequest("a cat"), outcome, lambda: 1.0)
    assert outcome.fault == "not done in 0.05 s"
    assert asked == ["POST", "GET", "DELETE"]


async def test_a_key_goes_into_the_header_alone() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(401, json={"error": {"code": "unauthorized"}})

    outcome = JobOutcome(0.0)
    transport = httpx.MockTransport(answer)
    async with JobClient("http://server", timeout_s=1, api_key="secret", transport=transport) as client:
        await client.run(JobRequest("a cat"), outcome, lambda: 0.0)
    (request,) = seen
    assert request.headers["authorization"] == "Bearer secret"
    assert b"secret" not in request.content
    assert "secret" not in repr(outcome) + str(request.url)


@pytest.mark.parametrize(
    ("request_", "path", "body"),
    [
        (JobRequest("x", width=64, height=32), "/v1/videos", {"prompt": "x", "size": "64x32"}),
        (
            JobRequest("x", Task.IMAGE_TO_VIDEO, num_frames=9, fps=8, image="data:image/png;base64,aa"),
            "/v1/videos",
            {"prompt": "x", "num_frames": 9, "fps": 8, "input_reference": "data:image/png;base64,aa"},
        ),
        (JobRequest("x", Task.TEXT_TO_IMAGE, model="m", num_frames=9), "/v1/images", {"prompt": "x", "model": "m"}),
        (
            JobRequest("x", Task.IMAGE_TO_IMAGE, image="data:image/png;base64,aa"),
            "/v1/images/edits",
            {"prompt": "x", "url": "data:image/png;base64,aa"},
        ),
    ],
)
async def test_each_task_has_its_path_and_says_only_what_is_wanted(
    request_: JobRequest, path: str, body: dict[str, Any]
) -> None:
    server = Server(post=video("completed"), delete=video("deleted"))
    outcome = await outcome_of(server, request_, keep=True)
    assert (server.asked, server.bodies, outcome.fault) == ([f"POST {path}"], [body], None)


async def test_no_more_jobs_run_at_a_time_than_may_and_those_held_back_are_told_of() -> None:
    running, most = 0, 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1
        return httpx.Response(200, json=video("completed"))

    async with JobClient("http://s", timeout_s=9, keep=True, transport=httpx.MockTransport(answer)) as client:
        load = JobLoad(client, [JobRequest("x")] * 12, [0.0] * 12, max_concurrency=3)
        await load.run()
    metrics = load.metrics()
    assert most == 3
    assert (metrics.completed, metrics.failed, metrics.unfinished) == (12, 0, 0)
    assert metrics.held_back is not None
    assert metrics.held_back.max > 0


async def test_what_is_broken_off_is_neither_made_nor_failed() -> None:
    asked = asyncio.Event()

    async def never(request: httpx.Request) -> httpx.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with JobClient("http://s", timeout_s=9, transport=httpx.MockTransport(never)) as client:
        load = JobLoad(client, [JobRequest("x")] * 3, [0.0] * 3, max_concurrency=1)
        run = asyncio.create_task(load.run())
        await asked.wait()
        while len(load.outcomes) < 3:
            assert not run.done()
            await asyncio.sleep(0)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
    metrics = load.metrics()
    assert (metrics.completed, metrics.failed, metrics.unfinished) == (0, 0, 3)


def test_metrics_count_what_was_made_over_the_whole_time() -> None:
    made = [JobOutcome(0.0, 0.0, latency_s, video_s=2.0, peak_memory_mb=latency_s) for latency_s in (1.0, 2.0, 6.0)]
    failed = [JobOutcome(0.0, 1.0, 1.5, fault="429 queue_full")] * 2 + [JobOutcome(0.0, 1.0, 1.5, fault="500")]
    metrics = calculate_metrics([*made, *failed, JobOutcome(9.0)], 10.0)
    assert (metrics.completed, metrics.failed, metrics.unfinished) == (3, 3, 1)
    assert metrics.failures == {"429 queue_full": 2, "500": 1}
    assert (metrics.throughput_qps, metrics.video_seconds_per_second) == (pytest.approx(0.3), pytest.approx(0.6))
    assert (metrics.latency_mean, metrics.latency_median) == (3.0, 2.0)
    assert metrics.latency_p99 == pytest.approx(5.92)
    assert (metrics.peak_memory_mb_max, metrics.peak_memory_mb_mean, metrics.peak_memory_mb_median) == (6.0, 3.0, 2.0)


async def test_an_address_where_nobody_answers_is_said_with_what_to_do() -> None:
    with pytest.raises(ConnectionError, match=r"running server at http://127\.0\.0\.1:1: nobody answers"):
        await wait_for_service("http://127.0.0.1:1", 0)
