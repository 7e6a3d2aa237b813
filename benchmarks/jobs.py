"""Jobs and live streams on one worker: who gets how many turns, whether the queue is bounded, and what is lost when the
server is killed.

More jobs than may wait are asked for at once, and streams run beside them. When the streams are half done, the server
is killed (``kill -9``) and started again at the same address: the clients of the streams come back by themselves.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.report import Effort, Figure, Report, main
from benchmarks.server_process import fastvideo_serve
from fastvideo.client import StreamClient
from fastvideo.entrypoints.streaming.protocol import Ltx2SegmentComplete, MediaSegmentComplete

MAX_RUNNING = 2
_JOBS = {Effort.QUICK: 6, Effort.NORMAL: 40, Effort.LONG: 100}
_STREAMS = {Effort.QUICK: 1, Effort.NORMAL: 5, Effort.LONG: 5}
_SEGMENTS = {Effort.QUICK: 2, Effort.NORMAL: 6, Effort.LONG: 12}
_SLEEP_MS = {Effort.QUICK: 20, Effort.NORMAL: 100, Effort.LONG: 100}
_TIMEOUT_S = 1200.0


_JOB_SEGMENTS = 2
_WAITING = re.compile(r'^fastvideo_jobs\{state="waiting"\} (\S+)$', re.MULTILINE)


@dataclass
class Outcome:
    """``answers``: to requests for jobs, by status; ``waiting``: jobs that waited once all were asked for; ``queue_ms``
    and ``segment_ms`` of each segment of the streams until the kill; ``segments``: (stream, segment) that were seen
    whole; ``lacking_fragments``: numbers that a stream left out or repeated; ``job_turns``: segments of jobs until the
    kill; ``ended``: jobs by their status in the end."""

    answers: dict[int, int] = field(default_factory=dict)
    waiting: int = 0
    queue_ms: list[float] = field(default_factory=list)
    segment_ms: list[float] = field(default_factory=list)
    segments: set[tuple[int, int]] = field(default_factory=set)
    half_done: asyncio.Event = field(default_factory=asyncio.Event)
    lacking_fragments: int = 0
    job_turns: float = 0.0
    left_at_kill: int = 0
    segments_at_kill: int = 0
    ended: dict[str, int] = field(default_factory=dict)


def config(folder: Path, jobs: int, segments: int, sleep_ms: int) -> Path:
    """A serve file for one worker, in whose folder all results and all states lie."""
    path = folder / "serve.yaml"
    path.write_text(
        f"generator: {{model_path: 'mock:?sleep_ms={sleep_ms}'}}\n"
        f"server: {{output_dir: {folder}}}\n"
        "default_request: {sampling: {width: 64, height: 64, num_frames: 24, fps: 24, num_inference_steps: 4}}\n"
        f"streaming: {{warmup: {{enabled: false}}, generation_segment_cap: {segments}, "
        f"stores: {{sessions: 'file:{folder}/sessions', blobs: 'file:{folder}/blobs'}}, "
        "resume: {grace_seconds: 120}, pool: {backend: in_process, sessions_per_worker: 8}}\n"
        f"openai: {{max_running: {MAX_RUNNING}, max_queued: {jobs}}}\n"
    )
    return path


async def watch(stream: int, url: str, segments: int, wanted: int, outcome: Outcome) -> None:
    """One stream to its end; ``wanted``: segments of all streams together."""
    client = await StreamClient.connect(url)
    for index in range(segments):
        await client.prompt(f"a red circle, {index}")
    last_sequence: int | None = None
    async for event in client:
        if isinstance(event, MediaSegmentComplete) and event.first_sequence is not None:
            if last_sequence is not None:
                outcome.lacking_fragments += abs(event.first_sequence - last_sequence - 1)
            last_sequence = event.last_sequence
        if isinstance(event, Ltx2SegmentComplete):
            outcome.segments.add((stream, event.segment_idx))
            if event.timings is not None and not outcome.half_done.is_set():
                timings = event.timings
                outcome.queue_ms.append(timings.queue or 0.0)
                outcome.segment_ms.append(
                    sum(part or 0.0 for part in (timings.denoise, timings.decode, timings.encode))
                )
            if 2 * len(outcome.segments) >= wanted:
                outcome.half_done.set()


async def run(effort: Effort) -> Outcome:
    """Ask, watch, kill, start again, and wait for the end of all streams and jobs."""
    outcome, jobs, segments = Outcome(), _JOBS[effort], _SEGMENTS[effort]
    wanted = _STREAMS[effort] * segments
    with tempfile.TemporaryDirectory() as name:
        path = config(Path(name), jobs, segments, _SLEEP_MS[effort])
        async with fastvideo_serve(path) as (server, _), _client(server.port) as http:
            asked = [
                http.post("/v1/videos", json={"prompt": f"video {index}", "num_frames": 24 * _JOB_SEGMENTS})
                for index in range(jobs + _too_many(jobs))
            ]
            for answer in await asyncio.gather(*asked):
                outcome.answers[answer.status_code] = outcome.answers.get(answer.status_code, 0) + 1
            turns_before = await _job_turns(http)
            outcome.waiting = await _waiting(http)
            async with asyncio.TaskGroup() as group:
                watching = [
                    group.create_task(
                        asyncio.wait_for(watch(stream, server.stream_url, segments, wanted, outcome), _TIMEOUT_S)
                    )
                    for stream in range(_STREAMS[effort])
                ]
                await asyncio.wait_for(outcome.half_done.wait(), _TIMEOUT_S)
                outcome.job_turns = await _job_turns(http) - turns_before
                outcome.left_at_kill = sum(one["status"] != "completed" for one in await _videos(http))
                outcome.segments_at_kill = len(outcome.segments)
                server.kill()
                await server.ended()
                await _after_the_kill(path, server.port, outcome, watching)
    return outcome


async def _after_the_kill(path: Path, port: int, outcome: Outcome, watching: list[asyncio.Task[None]]) -> None:
    async with fastvideo_serve(path, port=port), _client(port) as http:
        for video in await _videos(http):
            # Events end with their video.
            await asyncio.wait_for(http.get(f"/v1/videos/{video['id']}/events"), _TIMEOUT_S)
        for video in await _videos(http):
            content = await http.get(f"/v1/videos/{video['id']}/content")
            whole = video["status"] == "completed" and len(content.content) > 1000
            status = "whole" if whole else video["status"]
            outcome.ended[status] = outcome.ended.get(status, 0) + 1
        # The streams need the server, too, and may take longer than the jobs.
        await asyncio.gather(*watching)


def _too_many(jobs: int) -> int:
    return max(5, jobs // 5)


async def _videos(http: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        after = {"after": found[-1]["id"]} if found else {}
        page = (await http.get("/v1/videos", params={"limit": 100, **after})).json()
        found += page["data"]
        if not page["has_more"]:
            return found


async def _job_turns(http: httpx.AsyncClient) -> float:
    return sum(float(video["progress"]) for video in await _videos(http)) / 100 * _JOB_SEGMENTS


async def _waiting(http: httpx.AsyncClient) -> int:
    found = _WAITING.search((await http.get("/metrics")).text)
    assert found is not None
    return int(float(found[1]))


def _client(port: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=_TIMEOUT_S)


def measure(effort: Effort) -> Report:
    """Run, and compare with what fair turns would give."""
    outcome = asyncio.run(run(effort))
    jobs, streams = _JOBS[effort], _STREAMS[effort]
    turn_ms = statistics.median(outcome.segment_ms)
    waited = sorted(queue_ms / turn_ms for queue_ms in outcome.queue_ms)
    others = streams - 1 + MAX_RUNNING
    wanted = streams * _SEGMENTS[effort]
    taken, refused = outcome.answers.get(200, 0), outcome.answers.get(429, 0)
    asked = jobs + _too_many(jobs)
    job_turns, stream_turns = outcome.job_turns / MAX_RUNNING, outcome.segments_at_kill / streams
    figures = [
        Figure(
            "jobs that were not taken, with room for them", float(max(0, jobs - taken)), "", 0.0, f"{asked} at once"
        ),
        Figure("answers but 200 and 429", float(asked - taken - refused), "", 0.0, f"{refused} too many were told so"),
        Figure("jobs that waited beyond the bound", float(max(0, outcome.waiting - jobs)), "", 0.0, f"of {jobs}"),
        Figure(
            "turns that a stream's segment waited, median",
            round(statistics.median(waited), 2),
            "turns",
            others + 1.0,
            f"a fair worker has {others} others to serve, and itself; {len(waited)} segments of {turn_ms:.0f} ms",
        ),
        Figure("turns that a stream's segment waited, longest", round(waited[-1], 2), "turns"),
        Figure(
            "turns of a stream for one of a running job",
            round(stream_turns / job_turns, 2) if job_turns else None,
            "turns",
            1.25,
            f"{stream_turns:.1f} each of {streams} streams, {job_turns:.1f} each of {MAX_RUNNING} jobs at a time",
        ),
        Figure(
            "segments that streams lack",
            float(wanted - len(outcome.segments)),
            "",
            0.0,
            f"{wanted - outcome.segments_at_kill} of {wanted} came after kill -9",
        ),
        Figure("fragments that streams lack", float(outcome.lacking_fragments), "", 0.0, f"{streams} streams"),
        Figure(
            "jobs that kill -9 lost",
            float(taken - outcome.ended.get("whole", 0)),
            "",
            0.0,
            f"{outcome.left_at_kill} were left when it came",
        ),
    ]
    details = {"ended": outcome.ended, "answers": outcome.answers, "queue_ms": outcome.queue_ms}
    return Report("jobs", effort, figures, details=details)


if __name__ == "__main__":
    sys.exit(main("jobs", __doc__, measure))
