"""The HTTP API of a real server: the examples of its page with the model in the package, and kill -9."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.server_process import fastvideo_serve

REPOSITORY = Path(__file__).parents[2]


def example(name: str, port: int) -> str:
    """An example of docs/openai.md, for a server on another port."""
    page = (REPOSITORY / "docs" / "openai.md").read_text(encoding="utf-8")
    (code,) = re.findall(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", page, re.DOTALL)
    assert "127.0.0.1:8000" in code
    return str(code).replace("127.0.0.1:8000", f"127.0.0.1:{port}")


async def run(command: list[str], folder: Path) -> str:
    """What a program prints that ends well."""
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=folder, env=dict(os.environ), capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


async def test_the_examples_of_the_page_run_with_the_model_in_the_package(tmp_path: Path) -> None:
    assert shutil.which("curl"), "no curl found; it is in your system's package 'curl'"
    overrides = ["--server.output_dir", str(tmp_path)]
    async with fastvideo_serve(REPOSITORY / "configs" / "serve_openai.yaml", overrides) as (server, _):
        assert (await run(["bash", "-c", example("curl", server.port)], tmp_path)).split("\n")[:2] == [
            '"status": "completed"',
            '"deleted":true',
        ]
        assert (tmp_path / "star.mp4").stat().st_size > 10_000
        pytest.importorskip("openai")
        told = await run([sys.executable, "-c", example("python", server.port)], tmp_path)
        assert told == "completed 256x256 True\n"
        assert (tmp_path / "ball.mp4").stat().st_size > 10_000
    assert list((tmp_path / "results").glob("*.mp4")) == []


async def test_no_job_is_lost_when_the_server_is_killed(tmp_path: Path) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text(
        "generator: {model_path: 'mock:?sleep_ms=150'}\n"
        f"server: {{output_dir: {tmp_path}}}\n"
        "default_request: {sampling: {width: 64, height: 64, num_frames: 24, fps: 24, num_inference_steps: 2}}\n"
        "openai: {max_running: 2}\n"
    )
    async with fastvideo_serve(config) as (server, _), client(server.port) as http:
        ids = []
        for index in range(12):
            answer = await http.post("/v1/videos", json={"prompt": f"video {index}", "seconds": 3})
            ids.append(answer.json()["id"])
        waiting = asyncio.create_task(http.post("/v1/videos/generations", json={"prompt": "waits"}))
        async with asyncio.timeout(60):
            await follow(http, ids[0], until=40)
        server.kill()
        await server.ended()
        with pytest.raises(httpx.TransportError):
            await waiting
    async with fastvideo_serve(config) as (server, _), client(server.port) as http:
        async with asyncio.timeout(120):
            for video_id in ids:
                found = await follow(http, video_id)
                assert (found["status"], found["seconds"]) == ("completed", "3"), found
                assert len((await http.get(f"/v1/videos/{video_id}/content")).content) > 10_000
        failed = [one for one in (await http.get("/v1/videos")).json()["data"] if one["status"] == "failed"]
        assert {(one["prompt"], one["error"]["code"]) for one in failed} <= {("waits", "server_restarted")}


def client(port: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60)


async def follow(http: httpx.AsyncClient, video_id: str, until: int = 101) -> dict[str, Any]:
    """Read a video's events to their end, or until it is so far; gives the last one."""
    found: dict[str, Any] = {}
    async with http.stream("GET", f"/v1/videos/{video_id}/events") as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                found = json.loads(line.removeprefix("data: "))
                if found["progress"] >= until:
                    break
    return found
