"""The log as JSON: one object a line, with its session, and without anybody's secrets."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.parser import parse_config
from fastvideo.api.schema import ServeConfig
from fastvideo.entrypoints.access.api_keys import key_digest, new_key
from fastvideo.entrypoints.json_log import JsonFormatter, session_of_task
from fastvideo.entrypoints.streaming.worker_output import WorkerOutput

PROMPT = "canary prompt of nobody's business"
QUERY = "canary-query"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What a handler for JSON writes of ``fastvideo``'s records."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("fastvideo")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield written
    logger.setLevel(before)
    logger.removeHandler(handler)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@settings(max_examples=60, deadline=None)
@given(st.text(), st.text())
def test_whatever_is_logged_is_one_line_and_comes_back_as_it_was(message: str, name: str) -> None:
    record = logging.LogRecord(name, logging.WARNING, "", 0, message.replace("%", "%%"), (), None)
    text = JsonFormatter().format(record)
    assert text.isascii()
    assert len(text.splitlines()) == 1
    found = json.loads(text)
    assert (found["message"], found["logger"], found["level"]) == (record.getMessage(), name, "WARNING")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", found["time"])
    assert found.keys() == {"time", "level", "logger", "message"}


def test_an_exception_is_a_field_of_its_line(log: io.StringIO) -> None:
    logger = logging.getLogger("fastvideo.somewhere")
    try:
        raise ZeroDivisionError("two\nlines")
    except ZeroDivisionError:
        logger.exception("it %s", "failed")
    (line,) = lines(log.getvalue())
    assert line["message"] == "it failed"
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ZeroDivisionError: two\nlines")


async def test_a_task_and_its_threads_name_the_session_that_they_work_for(log: io.StringIO) -> None:
    logger = logging.getLogger("fastvideo.somewhere")

    async def session(name: str) -> None:
        session_of_task.set(name)
        await asyncio.to_thread(logger.info, "thread of %s", name)
        logger.info("task of %s", name)

    await asyncio.gather(*(asyncio.create_task(session(name)) for name in ("a", "b")))
    logger.info("nobody's")
    found = {line["message"]: line.get("session_id") for line in lines(log.getvalue())}
    assert found == {"thread of a": "a", "task of a": "a", "thread of b": "b", "task of b": "b", "nobody's": None}


def test_what_a_worker_prints_comes_as_lines_of_its_own(log: io.StringIO) -> None:
    output = WorkerOutput("worker-3")
    output.data_received(b'INFO x: "one"\nTraceback\n')
    output.connection_lost(None)
    assert [line["message"] for line in lines(log.getvalue())] == ['worker-3: INFO x: "one"', "worker-3: Traceback"]


def test_a_form_that_is_not_known_is_refused_with_its_path() -> None:
    with pytest.raises(ConfigValidationError, match=r"server\.log_format"):
        parse_config(ServeConfig, {"generator": {"model_path": "mock:"}, "server": {"log_format": "xml"}})


async def converse(url: str, key: str) -> None:
    """A session of one segment."""
    options: dict[str, Any] = {"compression": None, "proxy": None, "max_size": None}
    headers = {"Authorization": f"Bearer {key}"}
    async with websockets.connect(f"{url}?{QUERY}={key}", additional_headers=headers, **options) as client:
        await client.send(json.dumps({"type": "session_init_v2"}))
        await client.send(json.dumps({"type": "segment_prompt_source", "prompt": PROMPT}))
        async for frame in client:
            message = json.loads(frame) if isinstance(frame, str) else {"type": None}
            if message["type"] == "ltx2_stream_complete":
                return
    raise AssertionError("the stream ended before it was complete")


@pytest.mark.timeout(120)
async def test_a_served_log_is_json_from_its_first_line_to_its_last_and_tells_no_secrets(tmp_path: Path) -> None:
    key = new_key()
    config = {
        "generator": {"model_path": "mock:"},
        "server": {
            "host": "127.0.0.1",
            "port": 0,
            "log_format": "json",
            "auth": {"keys": [{"name": "viewer", "sha256": key_digest(key)}]},
        },
        "default_request": {"sampling": {"width": 64, "height": 64, "num_frames": 9, "fps": 8}},
        "streaming": {
            "generation_segment_cap": 1,
            "encoder": "libx264",
            "warmup": {"enabled": False},
            "pool": {"backend": "subprocess", "num_workers": 1},
        },
    }
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [sys.executable, "-m", "fastvideo.entrypoints.cli.main", "serve", "--config", str(file)]
    with (tmp_path / "errors").open("w") as errors:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        server = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=errors, env=environment
        )
    assert server.stdout is not None
    try:
        greeting = (await asyncio.wait_for(server.stdout.readline(), 60)).decode()
        found = re.search(r"http://(127\.0\.0\.1:\d+)", greeting)
        assert found, greeting
        async with httpx.AsyncClient(base_url=f"http://{found[1]}", trust_env=False, timeout=60) as client:
            assert (await client.get("/v1/nothing", params={QUERY: key})).status_code == 404
        await asyncio.wait_for(converse(f"ws://{found[1]}/v1/stream", key), 60)
    finally:
        server.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(server.wait(), 30) == 0
    printed = await server.stdout.read()
    text = (tmp_path / "errors").read_text(encoding="utf-8")
    told = lines(text)
    loggers = {line["logger"] for line in told}
    assert {"uvicorn.error", "uvicorn.access", "fastvideo.entrypoints.streaming.worker_fleet"} <= loggers
    assert any(re.search(r'"GET /v1/nothing HTTP/1\.1" 404', line["message"]) for line in told)
    assert any("worker-0 is ready" in line["message"] for line in told)
    for secret in (key, key_digest(key), PROMPT, QUERY):
        assert secret not in text
    assert printed == b"", "only the greeting is on standard output"
