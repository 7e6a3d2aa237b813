"""How a session through a router ends, and who is told."""

from __future__ import annotations

import asyncio
import json

import pytest


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        *((1000, "segment_cap"), (1001, "shutting_down"), (1003, "invalid_init"), (1008, ""), (1011, "worker_failed")),
        *((1013, "too_slow"), (4000, "\u00e4" * 61)),
    ],
)
async def test_a_replicas_close_reaches_the_client(parts, replicas, route, code, reason):
    (a,) = await replicas("a")
    async with route(a) as router, router.client() as client:
        await parts.started(client)
        await client.send("last")
        await client.send(json.dumps({"type": "test_close", "code": code, "reason": reason}))
        assert await client.recv() == "last"
        assert (await parts.last_words(client))[1:] == (code, reason)


async def test_a_replicas_close_without_a_code_is_a_normal_one(parts, replicas, route):
    (a,) = await replicas("a")

    async def closes(replica, connection):
        await connection.recv()
        await replica.say(connection, "queue_status", position=0, queue_depth=0)
        connection.transport.write(b"\x88\x00")
        await connection.wait_closed()

    a.script = closes
    async with route(a) as router, router.client() as client:
        assert (await parts.last_words(client))[1:] == (1000, "")


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "page closed"), (3000, "bye")])
async def test_a_clients_close_reaches_the_replica(parts, replicas, route, code, reason):
    (a,) = await replicas("a")
    async with route(a) as router, router.client() as client:
        await parts.started(client)
        await client.close(code, reason)
        await parts.until(lambda: a.closes)
    assert a.closes == [(code, reason)]


async def test_a_client_that_is_cut_off_does_not_close_its_session(parts, replicas, route):
    (a,) = await replicas("a")
    async with route(a) as router, router.client() as client:
        await parts.started(client)
        client.transport.abort()
        await parts.until(lambda: a.closes)
        await parts.until(lambda: router.metric("fastvideo_router_sessions_ended_total", how="client_lost") == 1)
    assert a.closes[0][0] == 1006


async def test_a_replica_that_dies_is_told_as_the_documents_say(parts, replicas, route):
    (a,) = await replicas("a")
    async with route(a) as router, router.client() as client:
        await parts.started(client)
        await a.die()
        message, code, _ = await parts.last_words(client)
        await parts.until(lambda: router.metric("fastvideo_router_sessions_ended_total", how="replica_lost") == 1)
    assert (message["type"], message["code"], message["retryable"]) == ("error", "worker_failed", True)
    assert message["message"].startswith("router bridge failed: ")
    assert code == 1011


@pytest.mark.parametrize("nonsense", [b"\xc1\x00", b"\x83\x01x", b"\x81\x81abcdx", b"HTTP/1.1 400 no\r\n\r\n"])
async def test_nonsense_from_a_replica_is_a_failed_bridge_and_nothing_worse(parts, replicas, route, nonsense):
    (a,) = await replicas("a")

    async def babbles(replica, connection):
        await connection.recv()
        await replica.say(connection, "queue_status", position=0, queue_depth=0)
        connection.transport.write(nonsense)
        await connection.wait_closed()

    a.script = babbles
    async with route(a) as router, router.client() as client:
        message, code, _ = await parts.last_words(client)
    assert (message["code"], code) == ("worker_failed", 1011)


async def test_a_router_that_shuts_down_tells_its_clients_and_leaves_their_sessions_open(parts, replicas, route):
    (a,) = await replicas("a")
    async with route(a) as router, router.client() as client, router.client(opening=None) as waiting:
        await parts.started(client)
        ended = asyncio.create_task(router.state.drain())
        for one in (client, waiting):
            message, code, reason = await parts.last_words(one)
            assert (message["reason"], message["retryable"]) == ("draining", True)
            assert (code, reason) == (1001, "shutting_down")
        await ended
        async with router.client(opening=None) as late:
            assert (await parts.last_words(late))[1:] == (1001, "shutting_down")
    assert [code for code, _ in a.closes] == [1006, 1006]
