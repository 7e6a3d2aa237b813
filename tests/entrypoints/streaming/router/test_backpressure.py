"""Who does not read holds up whoever sends to them, through the router."""

from __future__ import annotations

import asyncio

MIB = 1 << 20


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
