"""Handshakes that are none, on either side of a router."""

from __future__ import annotations

import asyncio

import pytest

from fastvideo.entrypoints.streaming.router.config import ReplicaEndpoint


@pytest.mark.parametrize(
    "request_text",
    [
        b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n\r\n",
        b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 8\r\n\r\n",
    ],
    ids=["no key", "bad key", "old version"],
)
async def test_a_bad_handshake_is_refused_and_reaches_no_replica(parts, replicas, route, request_text):
    (a,) = await replicas("a")
    async with route(a) as router:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(router.url.rpartition(":")[2]))
        writer.write(request_text)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await writer.wait_closed()
    assert answer.split()[1] in (b"400", b"426")
    assert a.handshakes == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
        b"x" * 70_000,
        b"",
    ],
    ids=["no accept", "another protocol", "not HTTP", "endless", "silence and close"],
)
async def test_a_replica_that_shakes_hands_wrongly_is_left(parts, replicas, route, answer):
    (b,) = await replicas("b")

    async def shake(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(shake, "127.0.0.1", 0) as server:
        wrong = ReplicaEndpoint(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", primary=True)
        async with route(wrong, b, wait=False, health_check_interval_seconds=1000.0) as router:
            for replica in router.state.registry.all():
                await router.state.registry.record_success(replica, recovery_threshold=1, latency_ms=1.0)
            async with router.client() as client:
                assert (await parts.started(client))["model_id"] == "b"
