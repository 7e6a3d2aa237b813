"""A client, a router and small replicas: what passes, who is asked, and how it ends."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
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


# --- how it ends


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


# --- who is asked


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


# --- pressure


class Settling:
    """Tells when a count has stopped growing."""

    def __init__(self):
        self.count = 0
        self._seen = []

    def settled(self):
        self._seen.append(self.count)
        return self.count > 0 and len(self._seen) > 100 and self._seen[-100] == self.count


async def test_a_client_that_does_not_read_holds_its_replica_back(parts, replicas, route):
    (a,) = await replicas("a")
    sent, messages = Settling(), 64

    async def floods(replica, connection):
        await connection.recv()
        await replica.say(connection, "queue_status", position=0, queue_depth=0)
        for _ in range(messages):
            await connection.send(bytes(MIB))
            sent.count += 1

    a.script = floods
    async with route(a) as router, router.client(max_queue=1) as client:
        # What was sent stays the same once all buffers on the way are full.
        await parts.until(sent.settled)
        assert sent.count < messages / 2
        await parts.heard(client)
        for _ in range(messages):
            assert len(await client.recv()) == MIB
    assert sent.count == messages


async def test_a_replica_that_does_not_read_holds_its_client_back(parts, replicas, route):
    (a,) = await replicas("a")
    reads, got = asyncio.Event(), []
    sent, messages = Settling(), 64

    async def slow(replica, connection):
        await connection.recv()
        await replica.say(connection, "queue_status", position=0, queue_depth=0)
        await reads.wait()
        async for frame in connection:
            got.append(len(frame))

    async def talk(client):
        for _ in range(messages):
            await client.send("x" * MIB)
            sent.count += 1

    a.script = slow
    async with route(a) as router, router.client() as client:
        await parts.heard(client)
        talking = asyncio.create_task(talk(client))
        await parts.until(sent.settled)
        assert sent.count < messages * 3 / 4
        reads.set()
        await asyncio.wait_for(talking, 30)
        await parts.until(lambda: len(got) == messages)
    assert set(got) == {MIB}


# --- handshakes


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
