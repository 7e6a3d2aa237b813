"""Which replica gets a session, and who is asked when one does not take it."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
import websockets

from fastvideo.entrypoints.streaming.router.config import ReplicaEndpoint, RouterConfig


async def test_no_healthy_replica_is_told_as_the_documents_say(parts, replicas, route):
    (a,) = await replicas("a")
    a.alive = False
    async with route(a, wait=False) as router, router.client(opening=None) as client:
        message, code, reason = await parts.last_words(client)
    assert message == {
        "type": "error",
        "code": "gpu_unavailable",
        "message": "router: no healthy replica available",
        "retryable": True,
    }
    assert (code, reason) == (1013, "no_healthy_replica")


async def test_a_full_replica_sends_the_session_to_the_next_one(parts, replicas, route):
    a, b = await replicas("a", "b")
    a.full = True
    async with route(a, b) as router, router.client() as client:
        assert (await parts.started(client))["model_id"] == "b"
        assert router.metric("fastvideo_router_refusals_total", replica="a") == 1


async def test_so_does_one_that_refuses_after_the_opening_message(parts, replicas, route):
    a, b = await replicas("a", "b")
    a.refusal = {"code": "gpu_unavailable", "message": "the queue is full", "retryable": True}
    opening = json.dumps({"type": "session_init_v2", "curated_prompts": ["x" * 1000]})
    async with route(a, b) as router, router.client(opening=opening) as client:
        assert (await parts.started(client))["model_id"] == "b"
    assert a.openings == b.openings == [json.loads(opening)]


async def test_when_all_are_full_the_last_refusal_is_the_clients(parts, replicas, route):
    a, b = await replicas("a", "b")
    a.full = b.full = True
    async with route(a, b) as router, router.client() as client:
        message, code, reason = await parts.last_words(client)
    assert (message["code"], message["message"]) == ("session_rejected", "max sessions reached (1)")
    assert (code, reason) == (1013, "session_rejected")


async def test_a_fault_of_the_client_is_not_taken_to_another_replica(parts, replicas, route):
    a, b = await replicas("a", "b")
    a.refusal = {"code": "invalid_message", "message": "preset: unknown"}
    async with route(a, b) as router, router.client() as client:
        message, code, reason = await parts.last_words(client)
    assert (message["code"], code, reason) == ("invalid_message", 1013, "refused")
    assert b.openings == []


async def test_a_connection_that_is_refused_goes_to_the_next_replica_and_counts_against_the_first(
    parts, replicas, route
):
    a, b = await replicas("a", "b")
    async with route(a, b, health_check_interval_seconds=1000.0, failure_threshold=2) as router:
        await a.die()
        for _ in range(2):
            async with router.client() as client:
                assert (await parts.started(client))["model_id"] == "b"
        assert not router.state.registry.get(a.url).is_healthy
        assert router.metric("fastvideo_router_connect_failures_total", replica="a") == 2


@pytest.mark.parametrize("status", [404, 500, 503])
async def test_an_upgrade_that_is_refused_goes_to_the_next_replica(parts, replicas, route, status):
    a, b = await replicas("a", "b")
    a.upgrade_status = status
    async with route(a, b) as router, router.client() as client:
        assert (await parts.started(client))["model_id"] == "b"


@pytest.mark.parametrize("status", [401, 403])
async def test_a_client_that_no_replica_accepts_is_told_so_before_it_is_accepted(parts, replicas, route, status):
    (a,) = await replicas("a")
    a.upgrade_status = status
    async with route(a) as router:
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with router.client(opening=None):
                pass
        assert router.state.registry.get(a.url).is_healthy
    assert refused.value.response.status_code == status
    assert json.loads(refused.value.response.body)["error"]["code"] == "unauthorized"


async def test_a_replica_that_does_not_answer_the_handshake_is_left(parts, replicas, route):
    (b,) = await replicas("b")
    # Connections are taken by the kernel, and nobody ever reads them.
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        silent = ReplicaEndpoint(f"http://127.0.0.1:{deaf.getsockname()[1]}", primary=True)
        async with route(silent, b, wait=False, connect_timeout_seconds=0.5, failure_threshold=1000) as router:
            known = router.state.registry.get(silent.url)
            await router.state.registry.record_success(known, recovery_threshold=1, latency_ms=1.0)
            await parts.until(lambda: router.state.registry.get(b.url).is_healthy)
            async with router.client() as client:
                assert (await parts.started(client))["model_id"] == "b"


async def test_a_replica_that_does_not_answer_the_opening_message_is_left(parts, replicas, route):
    a, b = await replicas("a", "b")

    async def silent(replica, connection):
        await connection.wait_closed()

    a.script = silent
    async with route(a, b, answer_timeout_seconds=1.0) as router, router.client() as client:
        assert (await parts.started(client))["model_id"] == "b"


async def test_a_client_that_leaves_before_it_is_answered_frees_its_place(parts, replicas, route):
    (a,) = await replicas("a")

    async def silent(replica, connection):
        await connection.wait_closed()

    a.script = silent
    async with route(a) as router:
        async with router.client() as client:
            await parts.until(lambda: router.state.registry.get(a.url).sessions == 1)
            await client.close(1000, "changed my mind")
        await parts.until(lambda: a.closes)
        assert router.state.registry.get(a.url).sessions == 0
    assert a.closes == [(1000, "changed my mind")]


async def test_the_primary_gets_every_session_that_it_takes(parts, replicas, route):
    a, b = await replicas("a", "b")
    async with route(a, b, primary=b) as router:
        for expected, full in (("b", False), ("b", False), ("a", True)):
            b.full = full
            async with router.client() as client:
                assert (await parts.started(client))["model_id"] == expected


async def test_sessions_are_spread_and_a_drained_replica_gets_no_more_of_them(parts, replicas, route):
    a, b = await replicas("a", "b")
    async with route(a, b) as router, router.client() as one, router.client() as two:
        homes = {(await parts.started(one))["model_id"], (await parts.started(two))["model_id"]}
        assert homes == {"a", "b"}
        router.state.reload(
            RouterConfig(replicas=[ReplicaEndpoint(a.url, name="a", drain=True), ReplicaEndpoint(b.url, name="b")])
        )
        async with router.client() as three, router.client() as four:
            assert (await parts.started(three))["model_id"] == "b"
            assert (await parts.started(four))["model_id"] == "b"
        # Those that it has go on.
        for client in (one, two):
            await client.send("still here")
            assert await client.recv() == "still here"


async def test_sessions_that_come_in_the_same_moment_are_spread_too(parts, replicas, route):
    a, b, c = await replicas("a", "b", "c")

    async def home(router):
        async with router.client() as client:
            found = (await parts.started(client))["model_id"]
            arrived.append(found)
            await parts.until(lambda: len(arrived) == 12)
            return found

    arrived = []
    async with route(a, b, c) as router:
        await asyncio.gather(*(home(router) for _ in range(12)))
    assert sorted(arrived) == ["a"] * 4 + ["b"] * 4 + ["c"] * 4


async def test_a_replica_that_says_that_it_is_not_ready_gets_no_sessions(parts, replicas, route):
    a, b = await replicas("a", "b")
    async with route(a, b) as router:
        a.ready = False
        await parts.until(lambda: not router.state.registry.get(a.url).takes_sessions)
        assert router.state.registry.get(a.url).is_healthy
        async with router.client() as client:
            assert (await parts.started(client))["model_id"] == "b"


async def test_a_resume_token_leads_to_the_replica_that_gave_it(parts, replicas, route):
    a, b = await replicas("a", "b")
    async with route(a, b) as router:
        async with router.client() as one, router.client() as two:
            await parts.started(one)
            await parts.started(two)
        resume = json.dumps({"type": "session_resume", "resume_token": "token-b-1", "last_sequence": 3})
        async with router.client(opening=resume) as client:
            assert (await parts.started(client))["model_id"] == "b"
        assert b.openings[-1] == json.loads(resume)
        assert len(a.openings) == 1
        # It was asked for a connection, and left without a session.
        await parts.until(lambda: len(a.closes) == 2)


async def test_a_resume_token_whose_replica_is_gone_is_taken_to_the_others(parts, replicas, route):
    a, b = await replicas("a", "b")
    async with route(a, b) as router:
        async with router.client() as one:
            assert (await parts.started(one))["model_id"] == "a"
        await a.die()
        resume = json.dumps({"type": "session_resume", "resume_token": "token-a-1", "last_sequence": 3})
        async with router.client(opening=resume) as client:
            assert (await parts.started(client))["model_id"] == "b"
