"""Jobs and live streams on one worker: who waits for how many turns, and what is lost when the server is killed.

All jobs are asked for at once, and the streams run beside them to their end. Then the server is killed (``kill -9``)
while jobs are left, and started again.
"""

from __future__ import annotations

import asyncio
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
from fastvideo.entrypoints.streaming.protocol import Ltx2SegmentComplete

MAX_RUNNING = 2
_JOBS = {Effort.QUICK: 6, Effort.NORMAL: 40, Effort.LONG: 100}
_STREAMS = {Effort.QUICK: 1, Effort.NORMAL: 5, Effort.LONG: 5}
_SEGMENTS = {Effort.QUICK: 2, Effort.NORMAL: 6, Effort.LONG: 12}
_SLEEP_MS = {Effort.QUICK: 20, Effort.NORMAL: 100, Effort.LONG: 100}
_TIMEOUT_S = 1200.0


@dataclass
class Outcome:
    """``queue_ms`` and ``segment_ms`` of each segment of the streams; ``ended``: jobs by their status in the end."""

    refused: int = 0
    queue_ms: list[float] = field(default_factory=list)
    segment_ms: list[float] = field(default_factory=list)
    left_at_kill: int = 0
    ended: dict[str, int] = field(default_factory=dict)


def config(folder: Path, jobs: int, segments: int, sleep_ms: int) -> Path:
    """A serve file for one worker, in whose folder all results lie."""
    path = folder / "serve.yaml"
    path.write_text(
        f"generator: {{model_path: 'mock:?sleep_ms={sleep_ms}'}}\n"
        f"server: {{output_dir: {folder}}}\n"
        "default_request: {sampling: {width: 64, height: 64, num_frames: 24, fps: 24, num_inference_steps: 4}}\n"
        f"streaming: {{warmup: {{enabled: false}}, generation_segment_cap: {segments}, "
        "pool: {backend: in_process, sessions_per_worker: 8}}\n"
        f"openai: {{max_running: {MAX_RUNNING}, max_queued: {jobs}}}\n"
    )
    return path


async def watch(url: str, segments: int, outcome: Outcome) -> None:
    """One stream to its end."""
    client = await StreamClient.connect(url)
    for index in range(segments):
        await client.prompt(f"a red circle, {index}")
    async for event in client:
        if isinstance(event, Ltx2SegmentComplete) and event.timings is not None:
            timings = event.timings
            outcome.queue_ms.append(timings.queue or 0.0)
            outcome.segment_ms.append(sum(part or 0.0 for part in (timings.denoise, timings.decode, timings.encode)))


async def run(effort: Effort) -> Outcome:
    """Ask, watch, kill, start again, and wait for the end of all jobs."""
    outcome, jobs, segments = Outcome(), _JOBS[effort], _SEGMENTS[effort]
    with tempfile.TemporaryDirectory() as name:
        path = config(Path(name), jobs, segments, _SLEEP_MS[effort])
        async with fastvideo_serve(path) as (server, _), _client(server.port) as http:
            asked = [
                http.post("/v1/videos", json={"prompt": f"video {index}", "num_frames": 48}) for index in range(jobs)
            ]
            answers = await asyncio.gather(*asked)
            outcome.refused = sum(answer.status_code != 200 for answer in answers)
            streams = (watch(server.stream_url, segments, outcome) for _ in range(_STREAMS[effort]))
            await asyncio.wait_for(asyncio.gather(*streams), _TIMEOUT_S)
            outcome.left_at_kill = sum(one["status"] != "completed" for one in await _videos(http))
            server.kill()
        async with fastvideo_serve(path) as (server, _), _client(server.port) as http:
            for video in await _videos(http):
                # Events end with their video.
                await asyncio.wait_for(http.get(f"/v1/videos/{video['id']}/events"), _TIMEOUT_S)
            for video in await _videos(http):
                content = await http.get(f"/v1/videos/{video['id']}/content")
                whole = video["status"] == "completed" and len(content.content) > 1000
                status = "whole" if whole else video["status"]
                outcome.ended[status] = outcome.ended.get(status, 0) + 1
    return outcome


async def _videos(http: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await http.get("/v1/videos", params={"limit": 100})).json()["data"]
    return found


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
    figures = [
        Figure("jobs that were not taken", float(outcome.refused), "", 0.0, f"{jobs} at once"),
        Figure("segments that streams lack", float(wanted - len(waited)), "", 0.0, f"{streams} streams beside them"),
        Figure(
            "turns that a stream's segment waited, median",
            round(statistics.median(waited), 2),
            "turns",
            others + 1.0,
            f"a fair worker has {others} others to serve, and itself; {len(waited)} segments of {turn_ms:.0f} ms",
        ),
        Figure("turns that a stream's segment waited, longest", round(waited[-1], 2), "turns"),
        Figure(
            "jobs that kill -9 lost",
            float(jobs - outcome.refused - outcome.ended.get("whole", 0)),
            "",
            0.0,
            f"{outcome.left_at_kill} were left when it came",
        ),
    ]
    return Report("jobs", effort, figures, details={"ended": outcome.ended, "queue_ms": outcome.queue_ms})


if __name__ == "__main__":
    sys.exit(main("jobs", __doc__, measure))
