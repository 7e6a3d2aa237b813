"""The mock server is the real app with a fake generator."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from fastvideo.entrypoints.streaming import mock_server
from fastvideo.entrypoints.streaming.mock_server import MAX_SESSIONS, MockGenerator, build_mock_app
from fastvideo.media.strip import read_strip


def test_the_documented_names_are_here() -> None:
    assert MockGenerator().model_id == "mock"
    assert MAX_SESSIONS == 64


def test_its_sizes_are_the_documented_ones_and_it_takes_64_sessions() -> None:
    state = build_mock_app().state.server_state
    streaming = state.serve_config.streaming
    sampling = state.serve_config.default_request.sampling
    assert (sampling.width, sampling.height, sampling.num_frames, sampling.fps) == (256, 256, 24, 24)
    assert sampling.num_inference_steps == 1
    assert (streaming.session_timeout_seconds, streaming.generation_segment_cap) == (120, 6)
    assert (streaming.max_sessions, streaming.pool.sessions_per_worker) == (64, 64)


async def test_it_is_ready_at_once_and_says_what_runs() -> None:
    app = build_mock_app(sleep_ms=60_000)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client,
    ):
        ready = None
        for _ in range(100):
            ready = await client.get("/readyz")
            if ready.status_code == 200:
                break
        assert ready is not None
        assert ready.json()["status"] == "ready"
        assert (await client.get("/v1/info")).json()["model_id"] == "mock"
        assert (await client.get("/health")).json() == {"status": "ok", "sessions": 0, "stream_mode": "av_fmp4"}


def test_a_bad_pace_ends_the_program_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        mock_server.main(["--jitter", "3"])
    assert caught.value.code == 2
    assert "expected jitter from 0 to 1" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        mock_server.main(["--drain-timeout", "0"])
    assert caught.value.code == 2
    assert "more than 0" in capsys.readouterr().err


def test_a_port_that_cannot_be_had_is_one_sentence_and_exit_code_3(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert mock_server.main(["--port", str(taken.getsockname()[1])]) == 3
    message = capsys.readouterr().err
    assert "another program listens" in message
    assert message.count("\n") == 1


def test_a_documented_client_gets_exactly_the_documented_handshake() -> None:
    with TestClient(build_mock_app()) as client, client.websocket_connect("/v1/stream") as socket:
        socket.send_text(json.dumps({"type": "session_init_v2"}))
        handshake = [json.loads(socket.receive_text()) for _ in range(3)]
        assert [message["type"] for message in handshake] == ["queue_status", "gpu_assigned", "ltx2_stream_start"]
        socket.send_text(json.dumps({"type": "segment_prompt_source", "prompt": "a red ball"}))
        assert _segment(socket) == [
            "ltx2_segment_start",
            "step_complete",
            "media_init",
            "bytes",
            "media_segment_complete",
            "ltx2_segment_complete",
        ]


def _segment(socket: Any) -> list[str]:
    """Kinds of frames up to a segment's end, repeats told once."""
    kinds: list[str] = []
    while not kinds or kinds[-1] != "ltx2_segment_complete":
        message = socket.receive()
        kind = "bytes" if message.get("bytes") is not None else json.loads(message["text"])["type"]
        if not kinds or kinds[-1] != kind:
            kinds.append(kind)
    return kinds


def test_the_picture_is_wide_enough_for_the_strip_at_the_default_size() -> None:
    config = build_mock_app().state.server_state.serve_config
    request = config.default_request
    request.prompt = "a red ball"
    assert read_strip(MockGenerator().generate(request)["frames"][5]) == (0, 5)


@pytest.mark.timeout(90)
def test_the_module_serves_prints_its_address_and_ends_on_interrupt() -> None:
    command = [sys.executable, "-m", "fastvideo.entrypoints.streaming.mock_server", "--port", "0", "--sleep-ms", "5"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment) as it:
        try:
            assert it.stdout is not None
            found = re.fullmatch(r"fastvideo mock server: (http://127\.0\.0\.1:\d+)\n", it.stdout.readline())
            assert found is not None
            # The port is bound, so a request waits until the app serves.
            with urllib.request.urlopen(f"{found[1]}/healthz", timeout=30) as response:
                assert response.status == 200
        finally:
            it.send_signal(signal.SIGINT)
            assert it.wait(30) == 0
