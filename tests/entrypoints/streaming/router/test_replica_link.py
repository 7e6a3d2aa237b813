"""One connection to a replica: what is received, when it is given up, and how it is left."""

from __future__ import annotations

import asyncio

import pytest
import websockets
from websockets.frames import Frame, Opcode

from fastvideo.entrypoints.streaming.router import replica_link
from fastvideo.entrypoints.streaming.router.replica_link import LinkClosed, LinkEnd, LinkFailed, ReplicaLink


@pytest.fixture
def connect():
    async def connected(replica, **options):
        return await ReplicaLink.connect(replica.url, "/v1/stream", **{"timeout_s": 5.0, **options})

    return connected


async def echoes(replica, connection):
    async for frame in connection:
        replica.said.append(frame)
        await connection.send(frame)


async def test_messages_are_received_one_by_one_and_then_handed_to_a_taker(replicas, connect):
    (a,) = await replicas("a")
    a.script = echoes
    link = await connect(a)
    for text in ("one", "two", "three"):
        await link.send(text)
    first = await link.receive()
    assert first.payload() == b"one"
    taken = []

    def take(message):
        taken.append(message.payload())
        return True

    link.relay(take, first)
    link.close(1000, "")
    # What comes after a close of ours is nobody's.
    await asyncio.wait_for(link.ended, 5)
    assert taken[0] == b"one"


async def test_a_handshake_that_is_over_before_anybody_waits_for_it_is_one_all_the_same(
    monkeypatch, parts, replicas, connect
):
    (a,) = await replicas("a")
    a.script = echoes
    loop = asyncio.get_running_loop()
    create_connection = loop.create_connection

    async def slowly(*arguments, **options):
        transport, link = await create_connection(*arguments, **options)
        await parts.until(lambda: not link._shaking_hands)
        return transport, link

    monkeypatch.setattr(loop, "create_connection", slowly)
    link = await connect(a)
    await link.send("one")
    assert (await link.receive()).payload() == b"one"
    link.abort()


async def test_a_message_that_came_while_its_receiver_was_cancelled_is_the_next_one(replicas, connect):
    (a,) = await replicas("a")
    a.script = echoes
    link = await connect(a)
    waiting = asyncio.create_task(link.receive())
    await asyncio.sleep(0)
    frame = Frame(Opcode.TEXT, b"one").serialize(mask=False)
    link.get_buffer(-1)[: len(frame)] = frame
    link.buffer_updated(len(frame))
    waiting.cancel()
    await asyncio.wait((waiting,))
    assert waiting.cancelled()
    assert (await link.receive()).payload() == b"one"
    link.abort()


async def test_a_taker_that_needs_a_message_longer_holds_the_next_ones_back(parts, replicas, connect):
    (a,) = await replicas("a")
    a.script = echoes
    link = await connect(a)
    taken = []

    def take(message):
        taken.append(message)
        return False

    link.relay(take)
    for text in ("one", "two"):
        await link.send(text)
    await parts.until(lambda: a.said == ["one", "two"] and taken)
    assert [message.payload() for message in taken] == [b"one"]
    link.resume()
    await parts.until(lambda: len(taken) == 2)
    assert taken[1].payload() == b"two"
    link.abort()


async def test_the_end_comes_after_everything_that_was_sent_before_it(replicas, connect):
    (a,) = await replicas("a")

    async def script(replica, connection):
        await connection.send("last words")
        await connection.close(4001, "enough")

    a.script = script
    link = await connect(a)
    assert (await link.receive()).payload() == b"last words"
    with pytest.raises(LinkClosed) as caught:
        await link.receive()
    assert caught.value.end == LinkEnd(4001, "enough", True)
    with pytest.raises(LinkClosed):
        await link.send("too late")


async def test_a_replica_that_is_half_gone_is_given_up(monkeypatch, parts, replicas, connect):
    monkeypatch.setattr(replica_link, "PING_INTERVAL_S", 0.02)
    monkeypatch.setattr(replica_link, "PING_TIMEOUT_S", 0.1)
    (a,) = await replicas("a")
    over = asyncio.Event()

    async def deaf(replica, connection):
        # Its machine is there, and it is not.
        connection.transport.pause_reading()
        await over.wait()
        connection.transport.abort()

    a.script = deaf
    link = await connect(a)
    link.relay(lambda message: True)
    assert await asyncio.wait_for(link.ended, 10) == LinkEnd(1006, "", False)
    over.set()


async def test_a_silent_replica_that_answers_pings_is_kept_and_so_is_one_that_waits_for_us(
    monkeypatch, parts, replicas, connect
):
    monkeypatch.setattr(replica_link, "PING_INTERVAL_S", 0.02)
    monkeypatch.setattr(replica_link, "PING_TIMEOUT_S", 1.0)
    (a,) = await replicas("a")
    a.script = echoes
    link = await connect(a)
    held = []
    link.relay(lambda message: held.append(message) or len(held) != 1)
    pings = []
    answer = link._answer
    monkeypatch.setattr(link, "_answer", lambda control: pings.append(control.opcode) or answer(control))
    await parts.until(lambda: len(pings) > 3)
    await link.send("held")
    await parts.until(lambda: held)
    # From here on nothing is read, pongs neither.
    count = len(pings)
    silence = asyncio.get_running_loop().time() + 0.2
    await parts.until(lambda: asyncio.get_running_loop().time() > silence)
    assert len(pings) == count
    assert not link.ended.done()
    link.resume()
    await link.send("after")
    await parts.until(lambda: len(held) == 2)
    link.abort()


async def test_it_answers_pings_and_echoes_the_close(replicas, connect):
    (a,) = await replicas("a")
    closed = asyncio.get_running_loop().create_future()

    async def script(replica, connection):
        await asyncio.wait_for(await connection.ping(b"well?"), 5)
        await connection.close(1001, "shutting_down")
        closed.set_result((connection.close_code, connection.close_reason))

    a.script = script
    link = await connect(a)
    with pytest.raises(LinkClosed) as caught:
        await link.receive()
    assert caught.value.end == LinkEnd(1001, "shutting_down", True)
    assert await asyncio.wait_for(closed, 5) == (1001, "shutting_down")


@pytest.mark.parametrize(("code", "reason", "seen"), [(1000, "bye", (1000, "bye")), (1005, "", (1005, ""))])
async def test_it_leaves_with_the_close_frame_that_it_is_given(parts, replicas, connect, code, reason, seen):
    (a,) = await replicas("a")
    a.script = echoes
    link = await connect(a)
    link.close(code, reason)
    await parts.until(lambda: a.closes)
    assert a.closes == [seen]


async def test_a_replica_that_does_not_answer_a_close_is_cut_off(monkeypatch, parts, replicas, connect):
    monkeypatch.setattr(replica_link, "CLOSE_TIMEOUT_S", 0.05)
    (a,) = await replicas("a")
    over = asyncio.Event()

    async def deaf(replica, connection):
        connection.transport.pause_reading()
        await over.wait()
        connection.transport.abort()

    a.script = deaf
    link = await connect(a)
    link.close(1000, "")
    assert (await asyncio.wait_for(link.ended, 10)).clean is False
    over.set()


@pytest.mark.parametrize("status", [401, 404, 503])
async def test_a_refused_upgrade_tells_its_status(replicas, connect, status):
    (a,) = await replicas("a")
    a.upgrade_status = status
    with pytest.raises(LinkFailed) as caught:
        await connect(a)
    assert caught.value.status == status


async def test_nobody_listening_is_told_from_other_failures(replicas, connect):
    (a,) = await replicas("a")
    await a.stop()
    with pytest.raises(LinkFailed) as caught:
        await connect(a)
    assert caught.value.nobody_listens


async def test_a_message_beyond_the_limit_ends_the_connection(replicas, connect):
    (a,) = await replicas("a")

    async def script(replica, connection):
        with pytest.raises(websockets.ConnectionClosed):
            await connection.send(bytes(2000))
            await connection.recv()

    a.script = script
    link = await connect(a, max_message_bytes=1000)
    with pytest.raises(LinkClosed) as caught:
        await link.receive()
    assert not caught.value.end.clean
