"""The adapter on Dynamo's real runtime, with its HTTP frontend: only where an environment with that package exists."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

REPOSITORY = Path(__file__).parents[2]
VENV = Path(os.environ.get("DYNAMO_VENV", REPOSITORY / ".venv-dynamo"))
PROMPT = {"prompt": "a red ball bounces on a blue background", "model": "fastvideo"}
SMALL = {"nvext": {"num_frames": 17, "num_inference_steps": 1}}
# Asks the worker itself, as other Python programs of a cluster do.
DIRECT = """
import asyncio, json, sys
from dynamo.runtime import DistributedRuntime

async def main():
    runtime = DistributedRuntime(asyncio.get_running_loop(), "file", "tcp")
    client = await runtime.endpoint("fastvideo.backend.generate").client()
    await client.wait_for_instances()
    async for chunk in await client.round_robin(json.loads(sys.argv[1]), annotated=False):
        print(json.dumps(chunk))
    runtime.shutdown()

asyncio.run(main())
"""

# Dynamo's package holds pydantic below 2.14, so this cannot be the environment of the other tests.
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not (VENV / "bin" / "python").exists(),
        reason="needs an environment with ai-dynamo-runtime: that of examples/dynamo/run.sh, or DYNAMO_VENV",
    ),
]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {
        **os.environ,
        "DYNAMO_VENV": str(VENV),
        "DYN_FILE_KV": str(tmp_path_factory.mktemp("discovery")),
        "DYN_TCP_RPC_HOST": "127.0.0.1",
        "DYN_TCP_RESPONSE_STREAM_HOST": "127.0.0.1",
        "PYTHONPATH": str(REPOSITORY),
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="module")
def frontend(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("dynamo")
    config = folder / "serve.json"
    config.write_text(
        json.dumps(
            {
                "generator": {"model_path": "embedded:"},
                "server": {"output_dir": str(folder)},
                "default_request": {"sampling": {"width": 128, "height": 128, "num_inference_steps": 3}},
            }
        )
    )
    address = f"127.0.0.1:{free_port()}"
    command = ["examples/dynamo/run.sh", str(config), "--results-address", f"127.0.0.1:{free_port()}"]
    log = folder / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=REPOSITORY, env={**environment, "FRONTEND": address}, stdout=output, stderr=output
        ) as server,
        httpx.Client(base_url=f"http://{address}", timeout=120) as client,
    ):
        try:
            _wait_for_a_model(client, server, log)
            yield client
        finally:
            server.terminate()
            server.wait(60)


def test_a_video_comes_inline_or_by_url(frontend: httpx.Client) -> None:
    inline = frontend.post("/v1/videos", json={**PROMPT, **SMALL, "response_format": "b64_json"}).json()
    assert base64.b64decode(inline["data"][0]["b64_json"])[4:8] == b"ftyp"
    assert (inline["status"], inline["progress"], inline["model"]) == ("completed", 100, "fastvideo")
    kept = frontend.post("/v1/videos", json={**PROMPT, **SMALL}).json()["data"][0]["url"]
    assert httpx.get(kept, headers={"range": "bytes=4-7"}).content == b"ftyp"


def test_a_stream_tells_its_progress(frontend: httpx.Client) -> None:
    asked = {**PROMPT, **SMALL, "stream": True, "response_format": "b64_json"}
    with frontend.stream("POST", "/v1/videos", json=asked) as answer:
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert lines.pop() == "[DONE]"
    chunks = [json.loads(line) for line in lines]
    assert [chunk["progress"] for chunk in chunks] == [0, 99, 99, 100]
    assert [bool(chunk["data"]) for chunk in chunks] == [False, False, False, True]


def test_a_state_goes_through_the_frontend_and_back(frontend: httpx.Client) -> None:
    asked: dict[str, Any] = {**PROMPT, **SMALL, "response_format": "b64_json", "return_state": True}
    states = []
    for _ in range(2):
        _, item = frontend.post("/v1/videos", json=asked).json()["data"]
        states.append(json.loads(base64.b64decode(item["b64_json"])))
        asked["continuation_state"] = states[-1]
    assert [state["payload"]["segment_index"] for state in states] == [0, 1]
    states[-1]["payload"]["video"]["frames_b64"][0] = "AAAA"
    refused = frontend.post("/v1/videos", json=asked)
    assert refused.status_code == 400
    assert "PNG" in refused.json()["message"]


def test_a_refusal_says_what_is_wrong(frontend: httpx.Client) -> None:
    for asked, words in (
        ({"input_reference": "/etc/passwd"}, "nothing is fetched"),
        ({"nvext": {"num_inference_steps": 10**6}}, "sampling.num_inference_steps"),
        ({"prompt": " "}, "prompt: "),
    ):
        refused = frontend.post("/v1/videos", json={**PROMPT, **asked})
        assert refused.status_code == 400
        assert words in refused.json()["message"]


def test_the_worker_itself_speaks_the_documented_form(frontend: httpx.Client, environment: dict[str, str]) -> None:
    asked = {**PROMPT, "stream": True, "response_format": "b64_json", "nvext": {**SMALL["nvext"], "fps": None}}
    command = [str(VENV / "bin" / "python"), "-c", DIRECT, json.dumps(asked)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    chunks = [json.loads(line) for line in done.stdout.splitlines()]
    assert [chunk["progress"] for chunk in chunks] == [0.0, 1.0, 1.0, 1.0]
    assert chunks[-1]["nvext"] == {"continuation_state": None}
    assert base64.b64decode(chunks[-1]["data"][0]["b64_json"])[4:8] == b"ftyp"
    assert frontend.get("/v1/models").status_code == 200


def _wait_for_a_model(client: httpx.Client, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + 170
    while server.poll() is None and time.monotonic() < deadline_s:
        try:
            if client.get("/v1/models").json()["data"]:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text(encoding="utf-8", errors="replace")[-4000:])
