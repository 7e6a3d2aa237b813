"""Two servers and a router as processes, and the client of the package."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fastvideo.api.access_config import ApiKeyConfig
from fastvideo.client import StreamClient, StreamError
from fastvideo.client.stream_protocol import MediaFragment
from fastvideo.entrypoints.access.api_keys import key_digest, new_key
from fastvideo.entrypoints.access.key_file import append_key
from fastvideo.entrypoints.cli.main import main
from fastvideo.entrypoints.streaming.protocol import Ltx2SegmentComplete, SessionInitV2

MOCK_CONFIG = Path(__file__).parents[4] / "configs" / "serve_mock.yaml"
MOCK = ("fastvideo.entrypoints.streaming.mock_server", "--port", "0")
ROUTER = ("fastvideo.entrypoints.cli.main", "router-serve", "--config")


@contextlib.asynccontextmanager
async def program(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """``python -m arguments...``, and the address that its first line ends with."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        # A full pipe would hold it up.
        rest = asyncio.create_task(process.stdout.read())
        yield process, line.decode().split()[-1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    await rest


def router_file(*replicas: str, drain: str | None = None) -> str:
    rows = "".join(f"    - {{url: {url}, drain: {str(url == drain).lower()}}}\n" for url in replicas)
    checks = "  health_check: {interval_seconds: 0.1, failure_threshold: 1}\n"
    return f"router:\n  host: 127.0.0.1\n  port: 0\n  drain_timeout_seconds: 0.2\n{checks}  replicas:\n{rows}"


async def rows(url: str) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(trust_env=False) as http:
        found: list[dict[str, Any]] = (await http.get(url + "/status")).json()["replicas"]
        return found


async def until_rows(url: str, condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition(await rows(url)):  # noqa: ASYNC110  # another process has no event to wait for
            await asyncio.sleep(0.02)


async def test_sessions_pages_drain_and_death_through_a_router_process(tmp_path):
    config = tmp_path / "router.yaml"
    async with program(*MOCK) as (first, a), program(*MOCK) as (_, b):
        config.write_text(router_file(a, b))
        async with program(*ROUTER, str(config)) as (router, url):
            await until_rows(url, lambda found: all(row["status"] == "healthy" for row in found))
            stream = url.replace("http", "ws") + "/v1/stream"
            async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
                page = await http.get("/")
                assert "<!doctype html>" in page.text.lower()
                assert url.partition("//")[2] in page.headers["content-security-policy"]
                assert (await http.get("/v1/info")).json()["features"]

            async with (
                await StreamClient.connect(stream, SessionInitV2(), resume=False) as one,
                await StreamClient.connect(stream, SessionInitV2(), resume=False) as two,
            ):
                for client in (one, two):
                    await client.started()
                assert [row["sessions"] for row in await rows(url)] == [1, 1]
                parts = await asyncio.gather(one.segment("a red circle"), two.segment("a blue square"))
                for received in parts:
                    assert received.media_complete is not None
                    assert sum(len(part.data) for part in received.parts) == received.media_complete.bytes

                # Drained in the config: its session goes on, and new ones go elsewhere.
                config.write_text(router_file(a, b, drain=a))
                router.send_signal(signal.SIGHUP)
                await until_rows(url, lambda found: found[0]["draining"])
                async with await StreamClient.connect(stream, SessionInitV2()) as three:
                    await three.started()
                    assert [row["sessions"] for row in await rows(url)] == [1, 2]
                await one.ping()

                # A config with a fault changes nothing.
                config.write_text("router: {replicas: []}")
                router.send_signal(signal.SIGHUP)
                await two.ping()
                assert len(await rows(url)) == 2

                first.kill()
                await until_rows(url, lambda found: found[0]["status"] == "unhealthy")
                async with asyncio.timeout(20):
                    async for _ in one:
                        pass
                assert one.close_code == 1011
                await two.ping()

                router.send_signal(signal.SIGTERM)
                async with asyncio.timeout(20):
                    async for _ in two:
                        pass
                assert (two.close_code, two.close_reason) == (1001, "shutting_down")
            assert await asyncio.wait_for(router.wait(), 20) == 0


async def test_a_session_of_a_token_that_has_expired_goes_on_when_its_server_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTED_SECRET", "s" * 40)
    key, store, keys = new_key(), f"file:{tmp_path / 'store'}", tmp_path / "keys.yaml"
    append_key(keys, ApiKeyConfig("viewer", key_digest(key)), admin=False)
    auth = ("--server.auth.keys_file", str(keys), "--server.auth.token_secret_env", "ROUTED_SECRET")
    pace = ("--generator.model_path", "mock:?sleep_ms=500", "--server.auth.token_seconds", "0.2", "--server.port", "0")
    small = ("width", "height", "num_frames", "num_inference_steps")
    sizes = [
        text
        for name, value in zip(small, ["64", "64", "17", "2"], strict=True)
        for text in (f"--default_request.sampling.{name}", value)
    ]
    stores = ("--streaming.stores.sessions", store, "--streaming.stores.blobs", store)
    serve = ("fastvideo.entrypoints.cli.main", "serve", "--config", str(MOCK_CONFIG), *auth, *pace, *sizes, *stores)
    config = tmp_path / "router.yaml"
    async with program(*serve) as (first, a), program(*serve) as (second, b):
        config.write_text(router_file(a, b) + "  token_secret_env: ROUTED_SECRET\n")
        async with program(*ROUTER, str(config)) as (_, url):
            await until_rows(url, lambda found: all(row["status"] == "healthy" and row["ready"] for row in found))
            async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
                answer = await http.post("/v1/stream/tokens", headers={"Authorization": f"Bearer {key}"})
            token = answer.json()["token"]
            # Its time in whole seconds.
            over_s = time.time() + answer.json()["expires_in"] + 1.0
            stream = url.replace("http", "ws") + "/v1/stream"
            async with await StreamClient.connect(stream, SessionInitV2(), api_key=token, resume=False) as client:
                await client.started()
                busy = [row["sessions"] for row in await rows(url)].index(1)
                complete: list[int] = []
                killed_after: int | None = None
                await client.prompt("a red circle")
                async with asyncio.timeout(60):
                    async for event in client:
                        if isinstance(event, MediaFragment) and killed_after is None and time.time() > over_s:
                            killed_after = len(complete)
                            (first, second)[busy].kill()
                        if isinstance(event, Ltx2SegmentComplete):
                            complete.append(event.segment_idx)
                            if killed_after is not None and len(complete) >= killed_after + 2:
                                break
                            await client.prompt("a blue square")
                assert client.close_code is None, (client.close_code, client.close_reason)
                assert killed_after is not None
                assert complete == list(range(len(complete)))
                assert client.resumed == 0
                found = await rows(url)
                assert [row["sessions"] for row in found] == [0, 1][:: 1 if busy == 0 else -1]
            # The token itself opens nothing any more.
            with pytest.raises(StreamError):
                await StreamClient.connect(stream, SessionInitV2(), api_key=token, resume=False)


def test_the_command_line_explains_itself(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["router-serve", "--help"])
    assert caught.value.code == 0
    words = capsys.readouterr().out
    assert "--config FILE" in words
    assert "configs/router.yaml" in words
    main([])
    assert "router-serve" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("router: {replicas: [{url: http://a, wieght: 2}]}", "did you mean 'weight'?"),
        ("generator: {model_path: x}", "generator: unknown key; known keys: router"),
        ("router: {}", "router.replicas: is required"),
    ],
)
def test_a_config_with_a_fault_is_one_sentence_and_exit_code_1(tmp_path, capsys, text, said):
    path = tmp_path / "router.yaml"
    path.write_text(text)
    assert main(["router-serve", "--config", str(path)]) == 1
    message = capsys.readouterr().err
    assert message.startswith("fastvideo router-serve: ")
    assert message.count("\n") == 1
    assert said in message


def test_a_port_that_is_taken_is_one_sentence_and_exit_code_3(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        path = tmp_path / "router.yaml"
        port = other.getsockname()[1]
        path.write_text(f"router: {{host: 127.0.0.1, port: {port}, replicas: [{{url: http://a}}]}}")
        assert main(["router-serve", "--config", str(path)]) == 3
    assert "another program listens" in capsys.readouterr().err


def test_a_router_has_no_overrides():
    with pytest.raises(SystemExit) as caught:
        main(["router-serve", "--config", "x.yaml", "--router.port", "1"])
    assert caught.value.code == 2
