"""Keys and tokens through a router, which asks for none itself and lets nobody in that a server would not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import websockets

from fastvideo.api.access_config import ApiKeyConfig, AuthConfig
from fastvideo.api.schema import (
    GenerationRequest,
    GeneratorConfig,
    SamplingConfig,
    ServeConfig,
    ServerConfig,
    StreamingConfig,
    WarmupConfig,
)
from fastvideo.entrypoints.access.api_keys import key_digest
from fastvideo.entrypoints.access.stream_tokens import StreamTokens
from fastvideo.entrypoints.streaming.mock_generator import MockGenerator
from fastvideo.entrypoints.streaming.router import process
from fastvideo.entrypoints.streaming.router.config import ReplicaEndpoint, RouterConfig
from fastvideo.entrypoints.streaming.router.main import build_router_app
from fastvideo.entrypoints.streaming.router.open_doors import watch_open_doors
from fastvideo.entrypoints.streaming.router.search import Handshake
from fastvideo.entrypoints.streaming.server import build_app, build_server

KEY, ADMIN_KEY = "fv_viewer", "fv_operator"
BEARER = {"Authorization": f"Bearer {KEY}"}
INIT = '{"type": "session_init_v2"}'
SECRET_VARIABLE = "ROUTED_STREAM_SECRET"


@pytest.fixture(autouse=True)
def shared_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, "s" * 40)


@contextlib.asynccontextmanager
async def served(parts: Any, auth: AuthConfig | None = None) -> AsyncIterator[tuple[int, Any]]:
    """A server that asks for keys unless ``auth`` says otherwise: its port and its app."""
    sampling = SamplingConfig(width=64, height=64, num_frames=24, fps=8, num_inference_steps=1)
    auth = auth or AuthConfig(keys=[ApiKeyConfig("viewer", key_digest(KEY))], token_secret_env=SECRET_VARIABLE)
    config = ServeConfig(
        generator=GeneratorConfig(model_path="mock:"),
        server=ServerConfig(auth=auth),
        default_request=GenerationRequest(sampling=sampling),
        streaming=StreamingConfig(warmup=WarmupConfig(enabled=False), encoder="libx264"),
    )
    app = build_app(config, MockGenerator())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = build_server(app, host="127.0.0.1", port=0, log_level="warning")
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await parts.until(lambda: server.started or task.done())
            yield listener.getsockname()[1], app
        finally:
            server.should_exit = True
            await asyncio.wait_for(task, 30)


async def hears(client: websockets.ClientConnection, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            frame = await client.recv()
            if isinstance(frame, str) and (message := json.loads(frame))["type"] == kind:
                return message


async def test_strangers_are_refused_before_they_are_accepted_and_keys_and_tokens_pass(parts, route) -> None:
    async with served(parts) as (port, _), route(ReplicaEndpoint(f"http://127.0.0.1:{port}")) as router:
        wrong = {"Authorization": "Bearer fv_wrong"}
        foreign = {"additional_headers": BEARER, "origin": "https://evil.example"}
        for options, status in (({}, 401), ({"additional_headers": wrong}, 401), (foreign, 403)):
            with pytest.raises(websockets.InvalidStatus) as refused:
                async with router.client(**options):
                    pass
            assert refused.value.response.status_code == status
        async with router.client(additional_headers=BEARER) as client:
            await hears(client, "ltx2_stream_start")
        base = router.stream.replace("ws://", "http://").removesuffix("/v1/stream")
        async with httpx.AsyncClient(base_url=base, trust_env=False) as http:
            assert (await http.post("/v1/stream/tokens")).status_code == 401
            answer = await http.post("/v1/stream/tokens", headers=BEARER)
            assert answer.headers["cache-control"] == "no-store"
        async with router.client(subprotocols=answer.json()["subprotocols"], origin=base) as page:
            assert page.subprotocol == "fastvideo.v1"
            await hears(page, "ltx2_stream_start")


def token(secret: bytes = b"s" * 40, key: str = KEY, name: str = "viewer", age_s: float = 0.0) -> str:
    return StreamTokens(secret, 60.0).issue(name, key_digest(key), time.time() - age_s)


CASES: list[Any] = [
    # The name of the case; what is shown, made when it is shown; its page's origin; the answer.
    ("a key", lambda: KEY, None, 101),
    ("a token of a page of the same host", token, "http://{host}", 101),
    ("a foreign origin", lambda: KEY, "https://evil.example", 403),
    ("a foreign origin with a token", token, "https://evil.example", 403),
    ("a foreign origin with nothing", None, "https://evil.example", 403),
    ("a null origin", lambda: KEY, "null", 403),
    ("an empty origin", lambda: KEY, "", 403),
    ("another port", lambda: KEY, "http://127.0.0.1:1", 403),
    ("a name that begins alike", lambda: KEY, "http://{host}.evil.example", 403),
    ("a user that looks like the host", lambda: KEY, "http://{host}@evil.example", 403),
    ("a path that looks like the host", lambda: KEY, "http://evil.example/{host}", 403),
    ("two origins", lambda: KEY, "http://{host}, http://evil.example", 403),
    ("no key", None, None, 401),
    ("an empty key", lambda: "", None, 401),
    ("a wrong key", lambda: "fv_wrong", None, 401),
    ("a part of a key", lambda: KEY[:-1], None, 401),
    ("the hash of a key", lambda: key_digest(KEY), None, 401),
    ("an expired token", lambda: token(age_s=62.0), None, 401),
    ("a token of another secret", lambda: token(secret=b"t" * 40), None, 401),
    ("a token of a key that was replaced", lambda: token(key="fv_before"), None, 401),
    ("a token of a key that was removed", lambda: token(name="gone", key="fv_gone"), None, 401),
    ("a token that was changed", lambda: token().replace("fvt1.e", "fvt1.f"), None, 401),
    (
        "a token with another's signature",
        lambda: f"{token().rpartition('.')[0]}.{token().rpartition('.')[2]}",
        None,
        401,
    ),
    ("a token without its signature", lambda: token().rpartition(".")[0] + ".", None, 401),
]


async def answers(url: str, shown: str | None, origin: str | None) -> set[int]:
    """The status of a handshake that shows this in each way that there is: 101 when it is accepted."""
    found = set()
    ways: list[dict[str, Any]] = [{"additional_headers": {"Authorization": f"Bearer {shown}"}}]
    if shown is None:
        ways = [{}]
    elif shown.startswith("fvt1."):
        ways.append({"subprotocols": ["fastvideo.v1", f"fastvideo.token.{shown}"]})
    for way in ways:
        try:
            async with websockets.connect(url, origin=origin, proxy=None, compression=None, **way):
                found.add(101)
        except websockets.InvalidStatus as refused:
            found.add(refused.response.status_code)
    return found


async def test_who_may_not_come_in_hears_so_before_anything_is_accepted_from_the_server_and_the_router(
    parts, route
) -> None:
    async with served(parts) as (port, app), route(ReplicaEndpoint(f"http://127.0.0.1:{port}")) as router:
        got: dict[tuple[str, str], set[int]] = {}
        for name, make, origin, _ in CASES:
            for door, host in (("server", f"127.0.0.1:{port}"), ("router", router.url.removeprefix("http://"))):
                page = origin.format(host=host) if origin is not None else None
                got[name, door] = await answers(f"ws://{host}/v1/stream", make() if make else None, page)
        assert got == {(name, door): {status} for name, *_, status in CASES for door in ("server", "router")}
        assert app.state.server_state.runners == {}


async def test_a_page_whose_name_leads_to_the_router_is_refused_by_a_server_without_keys(parts, route) -> None:
    async with (
        served(parts, AuthConfig(allowed_hosts=["video.example"])) as (port, _),
        route(ReplicaEndpoint(f"http://127.0.0.1:{port}")) as router,
        httpx.AsyncClient(base_url=router.url, trust_env=False) as http,
    ):
        own = int(router.url.rpartition(":")[2])
        for name, status in (("evil.example", 403), ("server-1", 403), ("video.example", 101), ("localhost", 101)):
            page = {"host": "127.0.0.1", "port": own, "origin": f"http://{name}:{own}", "proxy": None}
            got = 101
            try:
                async with websockets.connect(f"ws://{name}:{own}/v1/stream", **page) as client:
                    await client.send(INIT)
                    await hears(client, "ltx2_stream_start")
            except websockets.InvalidStatus as refused:
                got = refused.response.status_code
            assert got == status, name
            answer = await http.get("/v1/info", headers={"host": f"{name}:{own}"})
            assert answer.status_code == (200 if status == 101 else 403), name
        assert (await http.get("/readyz", headers={"host": "router"})).status_code == 200
        assert all(replica.is_healthy for replica in router.state.registry.all())


async def test_a_router_that_others_can_reach_warns_of_each_server_that_asks_for_no_keys(parts, route) -> None:
    said: list[str] = []
    async with served(parts, AuthConfig()) as (unlocked, _), served(parts) as (locked, _):
        endpoints = [
            ReplicaEndpoint(f"http://127.0.0.1:{port}", name=name)
            for port, name in ((locked, "locked"), (unlocked, "unlocked"))
        ]
        async with route(*endpoints) as router:
            watching = asyncio.create_task(watch_open_doors(router.state, "0.0.0.0", 9000, said.append))
            try:
                await parts.until(lambda: said or watching.done())
                assert not watching.done()
            finally:
                watching.cancel()
    (words,) = said
    assert "anybody who can reach 0.0.0.0, port 9000 may stream from replica unlocked: it asks for no keys" in words


@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("127.0.0.1", False)])
async def test_a_router_looks_for_open_servers_where_it_can_be_reached(
    parts, host: str, warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[str, int]] = []

    async def watch(router: Any, host: str, port: int) -> None:
        said.append((host, port))

    monkeypatch.setattr(process, "watch_open_doors", watch)
    with socket.create_server((host, 0)) as listener:
        bound = listener.getsockname()
        app = build_router_app(
            RouterConfig(replicas=[ReplicaEndpoint("http://127.0.0.1:9")], drain_timeout_seconds=0.1)
        )
        server = process.build_server(app, listener, log_level="warning")
        task = asyncio.create_task(server.serve(sockets=[listener]))
        await parts.until(lambda: server.started)
        server.should_exit = True
        await asyncio.wait_for(task, 20)
        assert said == ([bound] if warned else [])


def test_a_token_is_renewed_by_who_knows_the_secret_and_whatever_else_is_shown_stays_as_it_is() -> None:
    tokens, foreign = StreamTokens(b"s" * 40, 60.0), StreamTokens(b"t" * 40, 60.0)
    old, strange = (made.issue("viewer", key_digest(KEY), 1000.0) for made in (tokens, foreign))
    handshake = Handshake(
        "/v1/stream",
        [("Authorization", f"Bearer {old}"), ("Cookie", old)],
        ["fastvideo.v1", f"fastvideo.token.{old}", f"fastvideo.token.{strange}"],
    )
    assert handshake.renewed(None) is handshake
    renewed = handshake.renewed(tokens)
    for token in (
        renewed.headers[0][1].removeprefix("Bearer "),
        renewed.subprotocols[1].removeprefix("fastvideo.token."),
    ):
        assert tokens.read(token, time.time()).is_of(key_digest(KEY))
    assert renewed.headers[1] == ("Cookie", old)
    assert (renewed.subprotocols[0], renewed.subprotocols[2]) == ("fastvideo.v1", f"fastvideo.token.{strange}")
    key = Handshake("/v1/stream", [("Authorization", f"Bearer {KEY}")], [])
    assert key.renewed(tokens) == key


async def test_the_routers_metrics_open_with_its_admin_key_from_elsewhere(parts, replicas, route) -> None:
    (a,) = await replicas("a")
    admin_keys = [ApiKeyConfig("operator", key_digest(ADMIN_KEY))]
    async with route(a, admin_keys=admin_keys) as router:
        base = router.stream.replace("ws://", "http://").removesuffix("/v1/stream")
        async with httpx.AsyncClient(base_url=base, trust_env=False) as http:
            elsewhere = {"X-Forwarded-For": "192.0.2.1"}
            assert (await http.get("/metrics", headers={**elsewhere, **BEARER})).status_code == 401
            opened = await http.get("/metrics", headers={**elsewhere, "Authorization": f"Bearer {ADMIN_KEY}"})
    assert opened.status_code == 200
