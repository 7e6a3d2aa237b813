"""A client, a router and small replicas: what passes between them."""

from __future__ import annotations

import asyncio
import json

import websockets
from starlette.testclient import TestClient

from fastvideo.entrypoints.streaming.router.config import ReplicaEndpoint, RouterConfig
from fastvideo.entrypoints.streaming.router.main import build_router_app

MIB = 1 << 20


def prompt(text="a lighthouse"):
    return json.dumps({"type": "segment_prompt_source", "prompt": text})


async def test_messages_of_both_kinds_pass_both_ways_as_they_are(parts, replicas, route):
    (a,) = await replicas("a")
    async with route(a) as router, router.client() as client:
        assert (await parts.started(client))["model_id"] == "a"
        for frame in (prompt(), b"\x00\xff" * 70_000, "\u00e4\u4e16\U0001f600", b"", ""):
            await client.send(frame)
            assert await client.recv() == frame
    assert a.openings == [{"type": "session_init_v2"}]


async def test_nothing_is_compressed_although_the_client_offers_it(parts, replicas, route):
    (a,) = await replicas("a")
    async with route(a) as router, websockets.connect(router.stream, compression="deflate", proxy=None) as client:
        assert client.protocol.extensions == []
        await client.send(parts.INIT)
        assert (await parts.started(client))["model_id"] == "a"


async def test_another_asgi_server_may_carry_it(parts, replicas, route):
    # Starlette's own client runs the app without uvicorn: messages pass through ASGI then.
    (a,) = await replicas("a")
    app = build_router_app(
        RouterConfig(replicas=[ReplicaEndpoint(a.url)], health_check_interval_seconds=0.02, drain_timeout_seconds=0.05)
    )

    def talk():
        with TestClient(app) as http:
            while http.get("/readyz").status_code != 200:
                pass
            with http.websocket_connect("/v1/stream") as client:
                client.send_text(parts.INIT)
                kinds = [client.receive_json()["type"] for _ in range(3)]
                client.send_bytes(b"media")
                return kinds, client.receive_bytes()

    kinds, echoed = await asyncio.to_thread(talk)
    assert kinds == ["queue_status", "gpu_assigned", "ltx2_stream_start"]
    assert echoed == b"media"


async def test_the_replica_is_told_who_the_client_is_and_what_it_said(parts, replicas, route):
    (a,) = await replicas("a")
    a.subprotocol = "fastvideo.v1"
    headers = {"Authorization": "Bearer key", "X-Forwarded-For": "6.6.6.6", "X-Note": "caf\u00e9"}
    async with route(a) as router:
        opened = websockets.connect(
            router.stream + "?room=1",
            additional_headers=headers,
            origin="http://page.example",
            subprotocols=["other", "fastvideo.v1"],
            proxy=None,
        )
        async with opened as client:
            assert client.subprotocol == "fastvideo.v1"
            assert "Sec-WebSocket-Extensions" not in client.response.headers
            await client.send(parts.INIT)
            await parts.started(client)
        (request,) = a.handshakes
        assert request.path == "/v1/stream?room=1"
        told = request.headers
        assert told["Authorization"] == "Bearer key"
        assert told["Origin"] == "http://page.example"
        assert told["Host"] == router.url.removeprefix("http://")
        assert told["X-Forwarded-For"] == "127.0.0.1"
        assert "Sec-WebSocket-Extensions" not in told
        assert told.get_all("Sec-WebSocket-Key") == [told["Sec-WebSocket-Key"]]


async def test_the_largest_opening_message_passes(parts, replicas, route):
    (a,) = await replicas("a")
    head = json.dumps({"type": "session_init_v2", "client_id": "x"})[:-1] + ', "padding": "'
    opening = head + "y" * (48 * MIB - len(head) - 2) + '"}'
    assert len(opening) == 48 * MIB
    async with route(a) as router, router.client(opening=opening) as client:
        await parts.started(client)
        assert len(a.openings[0]["padding"]) == len(opening) - len(head) - 2


async def test_a_larger_one_is_refused_with_the_reason_and_1009(parts, replicas, route):
    (a,) = await replicas("a")
    async with route(a) as router, router.client(opening="y" * (48 * MIB + 1)) as client:
        message, code, _ = await parts.last_words(client)
    assert (message["code"], message["reason"], code) == ("invalid_message", "limit_exceeded", 1009)


async def test_a_large_message_of_a_replica_passes(parts, replicas, route):
    (a,) = await replicas("a")

    async def snapshot(replica, connection):
        await connection.recv()
        await replica.say(connection, "queue_status", position=0, queue_depth=0)
        await connection.send("z" * (41 * MIB))
        await connection.send("after")

    a.script = snapshot
    async with route(a) as router, router.client() as client:
        await parts.heard(client)
        async with asyncio.timeout(60):
            assert len(await client.recv()) == 41 * MIB
            assert await client.recv() == "after"
