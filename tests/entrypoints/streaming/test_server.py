"""The application in a real uvicorn on a free port, with the `websockets` client as the other side."""

import asyncio
import base64
import contextlib
import io
import json
import random
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import psutil
import pytest
import websockets
from PIL import Image
from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode

from fastvideo.api.schema import GpuPoolConfig, PacingConfig, WarmupConfig
from fastvideo.entrypoints.streaming import server as server_module
from fastvideo.entrypoints.streaming import transport, websocket_protocol
from fastvideo.entrypoints.streaming.gpu_pool import InProcessGpuPool
from fastvideo.entrypoints.streaming.server import build_app, build_server, run_server


class Running:
    """A server that runs, and the addresses to reach it."""

    def __init__(self, server: Any, generator: Any) -> None:
        self.server = server
        self.generator = generator
        self.port = server.servers[0].sockets[0].getsockname()[1]
        self.state = server.config.app.state.server_state
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", trust_env=False)

    def connect(self, **options: Any) -> Any:
        url = f"ws://127.0.0.1:{self.port}/v1/stream"
        return websockets.connect(url, **{"max_size": None, "compression": None, "proxy": None, **options})


@contextlib.asynccontextmanager
async def serving(config: Any, generator: Any = None, **parts: Any) -> AsyncIterator[Running]:
    app = build_app(config, generator, **parts)
    server = build_server(app, host="127.0.0.1", port=0, log_level="warning")
    task = asyncio.create_task(server._serve())
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0.005)
    running = Running(server, generator)
    try:
        yield running
    finally:
        if hasattr(generator, "free"):
            generator.free()
        await running.http.aclose()
        server.should_exit = True
        await asyncio.wait_for(task, 15)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("inproc-")]


async def say(client: ClientConnection, kind: str, **fields: Any) -> None:
    await client.send(json.dumps({"type": kind, **fields}))


async def rest(client: ClientConnection) -> tuple[list[Any], int | None, str | None]:
    """Everything until the close, its code and its reason."""
    got: list[Any] = []
    async with asyncio.timeout(30):
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                frame = await client.recv()
                got.append(json.loads(frame) if isinstance(frame, str) else frame)
    return got, client.close_code, client.close_reason


async def hears(client: ClientConnection, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            frame = await client.recv()
            if isinstance(frame, str) and (message := json.loads(frame))["type"] == kind:
                return message


# --- the whole way


async def test_prompts_become_segments_up_to_the_cap_and_a_clean_close(fakes) -> None:
    async with serving(fakes.config(generation_segment_cap=2), fakes.StepGenerator()) as running:
        async with running.connect() as client:
            await say(client, "session_init_v2")
            handshake = [json.loads(await client.recv())["type"] for _ in range(3)]
            assert handshake == ["queue_status", "gpu_assigned", "ltx2_stream_start"]
            await say(client, "segment_prompt_source", prompt="one")
            await say(client, "segment_prompt_source", prompt="two")
            got, code, reason = await rest(client)
        assert (code, reason) == (1000, "segment_cap")
        assert got[-1] == {"type": "ltx2_stream_complete", "reason": "segment_cap"}
        assert sum(isinstance(item, bytes) for item in got) == 11
        assert (await running.http.get("/health")).json() == {
            "status": "ok",
            "sessions": 0,
            "stream_mode": "av_fmp4",
        }


async def test_a_generator_with_generate_alone_is_served(fakes) -> None:
    async with (
        serving(fakes.config(generation_segment_cap=1), fakes.WholeGenerator()) as running,
        running.connect() as client,
    ):
        await say(client, "session_init_v2")
        await say(client, "segment_prompt_source", prompt="one")
        got, code, _ = await rest(client)
        assert code == 1000
        assert sum(isinstance(item, dict) and item["type"] == "step_complete" for item in got) == 1


async def test_a_clients_own_pool_is_started_used_and_shut_down(fakes) -> None:
    pool = InProcessGpuPool(fakes.StepGenerator(), gpu_id=5)
    async with serving(fakes.config(generation_segment_cap=1), pool=pool) as running, running.connect() as client:
        await say(client, "session_init_v2")
        assert (await hears(client, "gpu_assigned"))["gpu_id"] == 5
    assert not pool.ready


async def test_ten_sessions_on_one_worker_all_finish_in_fair_turns_with_true_places(fakes) -> None:
    generator = fakes.StepGenerator()
    generator.hold()
    pool = GpuPoolConfig(sessions_per_worker=4)
    async with serving(fakes.config(generation_segment_cap=3, pool=pool), generator) as running:
        places: list[list[int]] = []

        async def watch(number: int, opened: asyncio.Event) -> list[Any]:
            async with running.connect() as client:
                await say(client, "session_init_v2")
                got = [json.loads(await client.recv())]
                opened.set()
                for index in range(3):
                    await say(client, "segment_prompt_source", prompt=f"{number}.{index}")
                more, code, _ = await rest(client)
                assert code == 1000
                return got + more

        watchers = []
        for number in range(10):
            opened = asyncio.Event()
            watchers.append(asyncio.create_task(watch(number, opened)))
            await asyncio.wait_for(opened.wait(), 10)
        assert running.state.pool.health().queued_sessions == 6
        # All four that were admitted have asked, so that their turns are comparable.
        await fakes.until(lambda: running.state.pool.turns_waiting == 3)
        generator.free()
        stories = await asyncio.wait_for(asyncio.gather(*watchers), 60)

    for number, story in enumerate(stories):
        status = [item for item in story if isinstance(item, dict) and item["type"] == "queue_status"]
        places.append([item["position"] for item in status])
        assert sum(isinstance(item, dict) and item["type"] == "ltx2_segment_complete" for item in story) == 3
        if number < 4:
            assert len(status) == 1
            assert (status[0]["position"], status[0]["queue_depth"]) == (0, 0)
    for number in range(4, 10):
        assert places[number][0] == number - 4
        assert places[number] == sorted(places[number], reverse=True)
        assert places[number][-1] == 0
    done = [prompt for kind, prompt in generator.trace if kind == "done"]
    assert len(done) == 30
    # Nobody gets a second segment before each of the four that share the worker had its first.
    assert {prompt.split(".")[0] for prompt in done[:4]} == {"0", "1", "2", "3"}
    assert {prompt.split(".")[0] for prompt in done[4:8]} == {"0", "1", "2", "3"}
    for number in range(10):
        assert [prompt for prompt in done if prompt.startswith(f"{number}.")] == [f"{number}.{i}" for i in range(3)]


async def test_a_disconnect_in_mid_segment_frees_the_worker_for_who_waits_and_the_user_can_come_back(fakes) -> None:
    generator = fakes.StepGenerator()
    generator.hold()
    config = fakes.config(max_sessions=2, pool=GpuPoolConfig(sessions_per_worker=2), generation_segment_cap=1)
    async with serving(config, generator) as running:
        leaver, waiter = await running.connect(), await running.connect()
        for client, name in ((leaver, "leaver"), (waiter, "waiter")):
            await say(client, "session_init_v2")
            await hears(client, "ltx2_stream_start")
            await say(client, "segment_prompt_source", prompt=name, num_inference_steps=50)
        await hears(leaver, "ltx2_segment_start")
        leaver.transport.abort()
        await fakes.until(lambda: len(running.state.sessions) == 1)
        # The place is free at once, before the worker has noticed anything.
        assert generator.trace == []
        again = await running.connect()
        await say(again, "session_init_v2")
        await hears(again, "ltx2_stream_start")
        generator.allow(1)
        await hears(waiter, "ltx2_segment_start")
        assert generator.trace == [("cancelled", "leaver")]
        generator.free()
        await hears(waiter, "ltx2_segment_complete")
        await say(again, "segment_prompt_source", prompt="back")
        await hears(again, "ltx2_segment_complete")
        await asyncio.gather(waiter.close(), again.close())


# --- bad input


def png(side: int, noise: bool = False) -> str:
    file = io.BytesIO()
    if noise:
        data = random.Random(0).randbytes(side * side * 3)
        image = Image.frombytes("RGB", (side, side), data)
    else:
        image = Image.new("RGB", (side, side))
    image.save(file, "PNG", compress_level=0)
    return base64.b64encode(file.getvalue()).decode()


def init(**fields: Any) -> str:
    return json.dumps({"type": "session_init_v2", **fields})


@pytest.mark.parametrize(
    ("frame", "code", "reason", "close"),
    [
        ("{", "invalid_message", None, (1003, "invalid_init")),
        (b"\x00", "invalid_message", None, (1003, "invalid_init")),
        ('{"type": "ping", "id": 1}', "invalid_message", None, (1003, "expected_session_init_v2")),
        ('{"type": "who_knows"}', "invalid_message", None, (1003, "invalid_init")),
        ("[" * 200_000, "invalid_message", None, (1003, "invalid_init")),
        (init(stream_mode="legacy_jpeg"), "invalid_message", None, (1003, "invalid_init")),
        (init(preset="none such"), "preset_mismatch", None, (1003, "invalid_init")),
        (init(initial_image={"mime": "image/png", "data": "AAAA"}), "invalid_message", "image_invalid", (1003, None)),
        (init(initial_image=[]), "invalid_message", "image_invalid", (1003, None)),
        (init(continuation_state={"kind": "x", "payload": {}}), "invalid_message", "state_invalid", (1003, None)),
        (init(curated_prompts=["x" * 9000]), "invalid_message", "limit_exceeded", (1003, None)),
        (
            '{"type": "session_resume", "resume_token": "t", "last_sequence": 1}',
            "session_rejected",
            "resume_unknown",
            (1003, "resume_unknown"),
        ),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_a_bad_opening_gets_an_error_before_the_close(fakes, frame, code, reason, close) -> None:
    async with serving(fakes.config(), fakes.StepGenerator()) as running, running.connect() as client:
        await client.send(frame)
        got, close_code, close_reason = await rest(client)
        assert [item["type"] for item in got] == ["error"]
        assert got[0]["code"] == code
        assert got[0].get("reason") == reason
        assert close_code == close[0]
        assert close[1] is None or close_reason == close[1]
        assert len(running.state.sessions) == 0


async def test_the_documented_image_size_fits_through_the_socket(fakes) -> None:
    data = png(2200, noise=True)
    assert len(data) > 16 << 20
    async with (
        serving(fakes.config(generation_segment_cap=1), fakes.StepGenerator()) as running,
        running.connect() as client,
    ):
        await client.send(init(initial_image={"mime": "image/png", "data": data}))
        await say(client, "segment_prompt_source", prompt="x")
        _, code, _ = await rest(client)
        assert code == 1000
        assert running.generator.requests[0].inputs.image_path


async def test_a_message_too_large_for_the_socket_gets_an_error_too(fakes, monkeypatch) -> None:
    monkeypatch.setattr(transport, "MAX_OPENING_BYTES", 1 << 20)
    async with serving(fakes.config(), fakes.StepGenerator()) as running, running.connect() as client:
        sending = asyncio.create_task(client.send("x" * (24 << 20)))
        got, code, _ = await rest(client)
        with contextlib.suppress(websockets.ConnectionClosed):
            await sending
        assert [(item["code"], item.get("reason")) for item in got] == [("invalid_message", "limit_exceeded")]
        assert code == 1009


async def test_later_messages_have_a_smaller_limit_and_the_session_goes_on(fakes) -> None:
    async with (
        serving(fakes.config(generation_segment_cap=1), fakes.StepGenerator()) as running,
        running.connect() as client,
    ):
        await say(client, "session_init_v2")
        await say(client, "ping", id="x" * (2 << 20))
        error = await hears(client, "error")
        assert (error["code"], error["reason"]) == ("invalid_message", "limit_exceeded")
        await say(client, "segment_prompt_source", prompt="x")
        _, code, _ = await rest(client)
        assert code == 1000


async def test_text_that_is_no_utf8_gets_an_error(fakes) -> None:
    async with serving(fakes.config(), fakes.StepGenerator()) as running, running.connect() as client:
        await client.send(b"\xff\xfe\xfd", text=True)
        got, code, _ = await rest(client)
        assert [item["code"] for item in got] == ["invalid_message"]
        assert code == 1007


async def test_an_idle_session_is_ended_by_the_server_itself(fakes, monkeypatch) -> None:
    monkeypatch.setattr(server_module, "REAP_INTERVAL_S", 0.05)
    async with serving(fakes.config(session_timeout_seconds=1), fakes.StepGenerator()) as running:
        async with running.connect() as client:
            await say(client, "session_init_v2")
            got, code, reason = await rest(client)
        assert got[-1] == {"type": "session_timeout", "timeout_seconds": 1, "reason": "client_message"}
        assert (code, reason) == (1000, "session_timeout")


async def test_pages_of_other_sites_are_refused_and_everybody_else_is_not(fakes) -> None:
    async with serving(fakes.config(), fakes.StepGenerator()) as running:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await running.connect(origin="https://evil.example")
        assert refused.value.response.status_code == 403
        async with running.connect(origin=f"http://127.0.0.1:{running.port}") as client:
            await say(client, "session_init_v2")
            await hears(client, "ltx2_stream_start")


async def test_a_full_server_rejects_with_the_documented_message_and_close(fakes) -> None:
    async with serving(fakes.config(max_sessions=1), fakes.StepGenerator()) as running:
        first = await running.connect()
        await say(first, "session_init_v2")
        await hears(first, "ltx2_stream_start")
        async with running.connect() as second:
            got, code, reason = await rest(second)
        assert got == [
            {
                "type": "error",
                "code": "session_rejected",
                "message": "max sessions reached (1)",
                "retryable": False,
            }
        ]
        assert (code, reason) == (1013, "session_rejected")
        await first.close()
        await fakes.until(lambda: len(running.state.sessions) == 0)


# --- slow readers and shutting down


def noisy(fakes: Any, **streaming: Any) -> tuple[Any, Any]:
    """A config and a generator that make some ten megabytes a segment."""
    config = fakes.config(generation_segment_cap=1000, pacing=PacingConfig(lead_seconds=1e6), **streaming)
    config.default_request.sampling.width = config.default_request.sampling.height = 256
    return config, fakes.StepGenerator(frames=96, noise=True)


async def test_the_server_keeps_little_for_a_client_that_does_not_read(fakes) -> None:
    config, generator = noisy(fakes)
    async with serving(config, generator) as running:
        with contextlib.closing(await asyncio.to_thread(deaf_client, running.port)):
            await fakes.until(lambda: generator.trace.count(("done", "x")) >= 1)
            process = psutil.Process()
            memory = process.memory_info().rss
            # Others are served meanwhile, and nothing more is made for the one that does not read.
            for _ in range(6):
                async with running.connect() as other:
                    await say(other, "session_init_v2")
                    await say(other, "segment_prompt_source", prompt="other")
                    await hears(other, "ltx2_segment_complete")
            # What the kernel's buffers take, and not one for each of the others' turns.
            assert generator.trace.count(("done", "x")) <= 3
            assert process.memory_info().rss - memory < 64 << 20


ENDLESS = {"curated_prompts": ["x"], "loop_generation_enabled": True}


def deaf_client(port: int, fields: dict[str, Any] = ENDLESS) -> socket.socket:
    """A client that asks for a stream and reads nothing of it."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(10)
    raw.connect(("127.0.0.1", port))
    raw.sendall(
        b"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    )
    assert raw.recv(4096).startswith(b"HTTP/1.1 101")
    raw.sendall(Frame(Opcode.TEXT, init(**fields).encode()).serialize(mask=True))
    return raw


async def test_a_drain_finishes_what_runs_is_not_ready_and_refuses_with_a_retry(fakes) -> None:
    generator = fakes.StepGenerator()
    generator.hold()
    async with serving(fakes.config(), generator) as running:
        busy, idle = await running.connect(), await running.connect()
        for client in (busy, idle):
            await say(client, "session_init_v2")
            await hears(client, "ltx2_stream_start")
        await say(busy, "segment_prompt_source", prompt="x", num_inference_steps=50)
        await hears(busy, "ltx2_segment_start")
        running.server.should_exit = True
        got, code, reason = await rest(idle)
        assert (got[-1]["type"], got[-1]["reason"]) == ("error", "draining")
        assert (code, reason) == (1001, "shutting_down")
        # While the segment runs, the server says that it is there, and that it takes nobody.
        health = await running.http.get("/readyz")
        assert (health.status_code, health.json()["status"]) == (503, "draining")
        assert (await running.http.get("/livez")).status_code == 200
        async with running.connect() as late:
            got, code, _ = await rest(late)
            assert (got[0]["reason"], got[0]["retryable"], code) == ("draining", True, 1001)
        generator.free()
        got, code, _ = await rest(busy)
        assert [item["type"] for item in got if isinstance(item, dict)][-2:] == ["ltx2_segment_complete", "error"]
        assert code == 1001


async def test_a_client_that_leaves_its_last_messages_unread_does_not_keep_its_connection(fakes, monkeypatch) -> None:
    monkeypatch.setattr(websocket_protocol, "LINGER_S", 0.05)
    monkeypatch.setattr("fastvideo.entrypoints.streaming.session_post.SLOW_READER_S", 0.2)
    monkeypatch.setattr("fastvideo.entrypoints.streaming.runner.FAREWELL_S", 0.1)
    config, generator = noisy(fakes)
    async with serving(config, generator) as running:
        with contextlib.closing(await asyncio.to_thread(deaf_client, running.port)):
            await fakes.until(lambda: running.state.sessions.active_sessions())
            await fakes.until(lambda: len(running.state.sessions) == 0, seconds=40)
            await fakes.until(lambda: not running.server.server_state.connections)


async def test_a_client_that_answers_no_ping_is_gone_and_its_place_is_free(fakes, monkeypatch) -> None:
    monkeypatch.setattr(websocket_protocol, "LINGER_S", 0.05)
    async with serving(fakes.config(), fakes.StepGenerator()) as running:
        running.server.config.ws_ping_interval = running.server.config.ws_ping_timeout = 0.1
        with contextlib.closing(await asyncio.to_thread(deaf_client, running.port, {})):
            await fakes.until(lambda: running.state.sessions.active_sessions())
            await fakes.until(lambda: len(running.state.sessions) == 0)
            await fakes.until(lambda: not running.server.server_state.connections)


# --- HTTP


async def test_health_is_told_while_the_generator_warms_up(fakes) -> None:
    generator = fakes.StepGenerator()
    generator.hold()
    async with serving(fakes.config(warmup=WarmupConfig(enabled=True)), generator) as running:
        await asyncio.to_thread(generator.reached.acquire)
        ready = await running.http.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "warming")
        for path in ("/health", "/healthz", "/livez", "/status"):
            assert (await running.http.get(path)).status_code == 200
        async with running.connect() as early:
            await say(early, "session_init_v2")
            first = await hears(early, "queue_status")
            assert (first["position"], first["queue_depth"]) == (0, 1)
            generator.free()
            await hears(early, "ltx2_stream_start")
        ready = await running.http.get("/readyz")
        assert (ready.status_code, ready.json()["ready_gpu_workers"]) == (200, 1)


async def test_the_page_and_what_it_needs_are_served_and_nothing_else(fakes) -> None:
    async with serving(fakes.config(), fakes.StepGenerator()) as running:
        page = await running.http.get("/")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert f"ws://127.0.0.1:{running.port}" in policy
        assert page.headers["cache-control"] == "no-cache"
        assert page.headers["x-content-type-options"] == "nosniff"
        again = await running.http.get("/", headers={"if-none-match": page.headers["etag"]})
        assert again.status_code in (200, 304)
        script = await running.http.get("/js/main.js")
        assert script.status_code == 200
        assert "javascript" in script.headers["content-type"]
        unchanged = await running.http.get("/js/main.js", headers={"if-none-match": script.headers["etag"]})
        assert unchanged.status_code == 304
        for path in (
            "/package.json",
            "/node_modules/typescript/package.json",
            "/js/../package.json",
            "/js/%2e%2e/package.json",
            "/docs",
            "/openapi.json",
        ):
            assert (await running.http.get(path)).status_code == 404, path


async def test_the_server_tells_what_it_offers(fakes) -> None:
    async with serving(fakes.config(), fakes.StepGenerator()) as running:
        info = (await running.http.get("/v1/info")).json()
        assert {key: info[key] for key in ("model_id", "width", "height", "fps", "num_frames")} == {
            "model_id": "steps",
            "width": 64,
            "height": 64,
            "fps": 8,
            "num_frames": 8,
        }
        assert info["limits"]["max_prompt_chars"] == 4000
        presets = (await running.http.get("/v1/presets")).json()["presets"]
        assert presets
        assert set(presets[0]) == {"name", "label", "description", "prompts", "sampling", "toggles"}
        metrics = await running.http.get("/metrics")
        assert metrics.headers["content-type"].startswith("text/plain; version=")
        assert "fastvideo_sessions 0.0" in metrics.text


async def test_metrics_are_for_clients_on_the_same_machine(fakes) -> None:
    app = build_app(fakes.config(), fakes.StepGenerator())
    for host, name, status in (
        ("127.0.0.1", "localhost", 200),
        ("::1", "[::1]:8000", 200),
        ("127.0.0.1", "server.example", 403),
        ("10.0.0.7", "localhost", 403),
        ("testclient", "localhost", 403),
    ):
        transport = httpx.ASGITransport(app, client=(host, 1))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{name}") as client:
            assert (await client.get("/metrics")).status_code == status


async def test_two_apps_count_for_themselves(fakes) -> None:
    first, second = (build_app(fakes.config(), fakes.StepGenerator()).state.server_state for _ in range(2))
    first.metrics.errors.labels("internal_error").inc()
    assert "internal_error" not in second.metrics.exposition().decode()


def test_an_app_needs_a_streaming_block_and_exactly_one_way_to_generate(fakes) -> None:
    config = fakes.config()
    with pytest.raises(ValueError, match="generator or a pool"):
        build_app(config)
    with pytest.raises(ValueError, match="generator or a pool"):
        build_app(config, fakes.StepGenerator(), pool=InProcessGpuPool(fakes.StepGenerator()))
    config.streaming = None
    for build in (lambda: build_app(config, fakes.StepGenerator()), lambda: run_server(config)):
        with pytest.raises(ValueError, match="streaming"):
            build()


async def test_a_pool_and_its_server_share_one_session_store(fakes) -> None:
    from fastvideo.entrypoints.streaming.session_store import InMemorySessionStore

    store = InMemorySessionStore()
    pool = InProcessGpuPool(fakes.StepGenerator(), session_store=store)
    assert build_app(fakes.config(), pool=pool).state.server_state.session_store is store
    app = build_app(fakes.config(), fakes.StepGenerator(), session_store=store)
    assert app.state.server_state.session_store is store
    assert app.state.server_state.pool.session_store is store


def test_the_packages_names_are_the_documented_ones_and_cost_nothing_until_used() -> None:
    import subprocess
    import sys

    import fastvideo.entrypoints.streaming as package

    for name in package.__all__:
        assert getattr(package, name).__name__ == name
    with pytest.raises(AttributeError):
        package.nothing  # noqa: B018
    code = "import sys, fastvideo.entrypoints.streaming as s; s.SessionState; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"
