"""A replica is lost in mid-session: the client sees one stream all the same, where that can be."""

from __future__ import annotations

import asyncio
import json
import random

import pytest

from fastvideo.entrypoints.streaming.router.config import ReplicaEndpoint, RouterConfig
from fastvideo.media.boxes import box
from fastvideo.media.movie_fragment import Sample, TrackRun, write_fragment

TOKEN = "session-1.secret"


def fragment(sequence, size=2000):
    picture = random.Random(sequence).randbytes(size)
    return write_fragment(sequence, [TrackRun(1, 0, [Sample([picture], 1)])])


def stream(segments=3, fragments=4):
    """What a session sends, from its first message to its last."""
    frames = [
        json.dumps(
            {"type": "queue_status", "position": 0, "queue_depth": 0, "session_id": "session-1", "resume_token": TOKEN}
        ),
        json.dumps({"type": "gpu_assigned", "gpu_id": 0, "session_timeout": 300}),
        json.dumps({"type": "ltx2_stream_start", "width": 64, "height": 64, "fps": 8, "num_frames": 8}),
    ]
    sequence = 0
    for index in range(segments):
        frames.append(json.dumps({"type": "ltx2_segment_start", "segment_idx": index}))
        frames.append(json.dumps({"type": "media_init", "segment_idx": index}))
        frames.append(box(b"ftyp", b"isom") + box(b"moov", bytes(500)))
        for _ in range(fragments):
            sequence += 1
            frames.append(fragment(sequence))
        frames.append(json.dumps({"type": "ltx2_segment_complete", "segment_idx": index}))
    frames.append(json.dumps({"type": "ltx2_stream_complete", "reason": "segment_cap"}))
    return frames


class Sessions:
    """What replicas that share their stores know: the frames of one session, and how it is served.

    ``cut_after``: bytes after which a connection breaks, one for each; then none does.
    """

    def __init__(self, frames, cut_after=()):
        self.frames = frames
        self.cuts = list(cut_after)
        self.before_cut = lambda: None
        self.resumptions = []
        self.said = []

    async def serve(self, replica, connection):
        opening = json.loads(await connection.recv())
        replica.openings.append(opening)
        start = 0
        if opening["type"] == "session_resume":
            if opening["resume_token"] != TOKEN:
                await replica.say(connection, "error", code="session_rejected", message="?", reason="resume_unknown")
                await connection.close(1003, "resume_unknown")
                return
            self.resumptions.append((replica.name, opening["last_sequence"], opening["frames_after"]))
            start = self.place(opening["last_sequence"]) + opening["frames_after"]
            await replica.say(
                connection, "queue_status", position=0, queue_depth=0, session_id="session-1", resume_token=TOKEN
            )
        budget = self.cuts.pop(0) if self.cuts else None
        listening = asyncio.create_task(self.listen(connection))
        try:
            for frame in self.frames[start:]:
                if budget is not None and budget < len(frame):
                    # Part of a frame, and then nothing more.
                    head = bytes([0x82 if isinstance(frame, bytes) else 0x81, 126]) + len(frame).to_bytes(2, "big")
                    data = head + (frame if isinstance(frame, bytes) else frame.encode())
                    connection.transport.write(data[:budget])
                    await self.flushed(connection)
                    self.before_cut()
                    connection.transport.abort()
                    return
                budget = None if budget is None else budget - len(frame)
                await connection.send(frame)
            await connection.close(1000, "segment_cap")
        finally:
            listening.cancel()

    async def listen(self, connection):
        async for frame in connection:
            self.said.append(json.loads(frame))

    @staticmethod
    async def flushed(connection):
        while connection.transport.get_write_buffer_size():  # noqa: ASYNC110  # the transport has no event for it
            await asyncio.sleep(0)

    def place(self, last_sequence):
        if last_sequence == 0:
            return 0
        return next(i for i, frame in enumerate(self.frames) if frame == fragment(last_sequence)) + 1


async def everything(client):
    frames = []
    async with asyncio.timeout(30):
        async for frame in client:
            frames.append(frame)
    return frames


async def test_a_stream_that_is_cut_at_any_byte_reaches_the_client_whole(parts, replicas, route):
    (a,) = await replicas("a")
    frames = stream()
    total = sum(map(len, frames))
    rng = random.Random(1)
    async with route(a) as router:
        for cut in (*rng.sample(range(len(frames[0]), total), 12), len(frames[0]), total - 1):
            sessions = Sessions(frames, [cut])
            a.script = sessions.serve
            async with router.client() as client:
                assert await everything(client) == frames, cut
                assert (client.close_code, client.close_reason) == (1000, "segment_cap")
            assert len(sessions.resumptions) == 1
        assert router.metric("fastvideo_router_resumptions_total", outcome="resumed") == 14


async def test_a_stream_that_is_cut_again_and_again_is_whole_as_long_as_it_moves(parts, replicas, route):
    (a,) = await replicas("a")
    frames = stream()
    sessions = Sessions(frames, [3000] * 9)
    a.script = sessions.serve
    async with route(a) as router, router.client() as client:
        assert await everything(client) == frames
    assert len(sessions.resumptions) == 9


async def test_a_session_of_a_dead_replica_goes_on_at_another_that_shares_its_stores(parts, replicas, route):
    a, b = await replicas("a", "b")
    frames = stream()
    sessions = Sessions(frames, [9000])
    a.script = b.script = sessions.serve
    sessions.before_cut = a.stop_listening
    async with route(a, b, primary=a, health_check_interval_seconds=1000.0) as router, router.client() as client:
        assert await everything(client) == frames
        assert router.state.sticky.find("token", TOKEN) == b.url
    assert [name for name, _, _ in sessions.resumptions] == ["b"]


@pytest.mark.parametrize("coder", ["the same", "another"])
async def test_what_a_replica_repeats_that_begins_from_its_stores_is_left_out(parts, replicas, route, coder):
    a, b = await replicas("a", "b")
    frames = stream()
    # In the middle of the second segment's fragments.
    cut = frames.index(fragment(6))
    sessions = Sessions(frames, [sum(map(len, frames[:cut])) + 700])
    sessions.before_cut = a.stop_listening
    a.script = sessions.serve
    init = box(b"ftyp", b"isom") + box(b"moov", bytes(500 if coder == "the same" else 501))
    repeated = [
        json.dumps({"type": "gpu_assigned", "gpu_id": 3, "session_timeout": 300}),
        frames[2],
        json.dumps({"type": "ltx2_segment_start", "segment_idx": 1}),
        json.dumps({"type": "step_complete", "segment_idx": 1, "step": 1, "total_steps": 1}),
        json.dumps({"type": "media_init", "segment_idx": 1}),
        init,
    ]

    async def stored(replica, connection):
        replica.openings.append(json.loads(await connection.recv()))
        await replica.say(
            connection, "queue_status", position=0, queue_depth=0, session_id="session-1", resume_token=TOKEN
        )
        for frame in (*repeated, *frames[cut:]):
            await connection.send(frame)
        await connection.close(1000, "segment_cap")

    b.script = stored
    async with route(a, b, primary=a, health_check_interval_seconds=1000.0) as router, router.client() as client:
        received = await everything(client)
    assert b.openings[0]["last_sequence"] == 5
    expected = frames if coder == "the same" else [*frames[:cut], *repeated[-2:], *frames[cut:]]
    assert received == expected


@pytest.mark.parametrize("shared", [True, False])
async def test_a_replica_that_drains_ends_no_session_that_another_one_knows(parts, replicas, route, shared):
    a, b = await replicas("a", "b")
    frames = stream()
    sessions = Sessions(frames)
    cut = frames.index(fragment(6))

    async def drains(replica, connection):
        await connection.recv()
        for frame in frames[:cut]:
            await connection.send(frame)
        await replica.say(connection, "error", code="gpu_unavailable", message="bye", retryable=True, reason="draining")
        await connection.close(1001, "shutting_down")

    async def knows_nothing(replica, connection):
        await connection.recv()
        await replica.say(connection, "error", code="session_rejected", message="?", reason="resume_unknown")
        await connection.close(1003, "resume_unknown")

    a.script = drains
    b.script = sessions.serve if shared else knows_nothing
    async with route(a, b, primary=a) as router, router.client() as client:
        received = await everything(client)
        if shared:
            assert received == frames
            assert sessions.resumptions == [("b", 5, 0)]
        else:
            assert received[:-1] == frames[:cut]
            assert json.loads(received[-1])["reason"] == "draining"
            assert (client.close_code, client.close_reason) == (1001, "shutting_down")


async def test_a_session_that_nobody_else_knows_ends_at_once_as_the_documents_say(parts, replicas, route):
    a, b = await replicas("a", "b")
    async with route(a, b, primary=a) as router, router.client() as client:
        await parts.started(client)

        async def knows_nothing(replica, connection):
            replica.openings.append(json.loads(await connection.recv()))
            await replica.say(connection, "error", code="session_rejected", message="?", reason="resume_unknown")
            await connection.close(1003, "resume_unknown")

        b.script = knows_nothing
        await a.die()
        message, code, _ = await parts.last_words(client)
        assert (message["code"], message["retryable"], code) == ("worker_failed", True, 1011)
        assert router.metric("fastvideo_router_resumptions_total", outcome="failed") == 1
    assert b.openings == [
        {"type": "session_resume", "resume_token": "token-a-1", "last_sequence": 0, "frames_after": 3}
    ]


async def test_a_replica_that_answers_not_now_is_asked_until_the_time_is_over(parts, replicas, route):
    (a,) = await replicas("a")
    async with route(a, resume_timeout_seconds=0.5) as router, router.client() as client:
        await parts.started(client)
        a.full = True
        a.connections[0].transport.abort()
        message, code, _ = await parts.last_words(client)
        assert (message["code"], code) == ("worker_failed", 1011)
    assert len(a.connections) > 2


async def test_a_replica_that_breaks_every_connection_is_given_up(parts, replicas, route):
    (a,) = await replicas("a")
    sessions = Sessions(stream(), [3000] + [0] * 1000)
    a.script = sessions.serve
    async with route(a) as router, router.client() as client:
        message, code, _ = await parts.last_words(client)
        assert (message["code"], code) == ("worker_failed", 1011)
    assert len(sessions.resumptions) == 3


async def test_prompts_are_said_again_until_they_are_used_or_refused(parts, replicas, route):
    (a,) = await replicas("a")
    heard = []
    cut = asyncio.Event()

    async def forgets(replica, connection):
        opening = json.loads(await connection.recv())
        await replica.say(
            connection,
            "queue_status",
            position=0,
            queue_depth=0,
            session_id="s",
            resume_token="t",
            resume_grace_seconds=30,
        )
        async for frame in connection:
            message = json.loads(frame)
            heard.append((opening["type"], message["request_id"]))
            if opening["type"] == "session_init_v2" and message["request_id"] != "three":
                status = {"one": "applied", "two": "pending"}[message["request_id"]]
                await replica.say(connection, "prompt_status", request_id=message["request_id"], status=status)
            elif opening["type"] == "session_init_v2" and message["request_id"] == "three":
                await cut.wait()
                connection.transport.abort()
                return
            elif opening["type"] == "session_resume" and message["request_id"] == "three":
                await connection.close(1000, "done")

    a.script = forgets
    async with route(a) as router, router.client() as client:
        await parts.heard(client)
        for name in ("one", "two", "three"):
            await client.send(json.dumps({"type": "segment_prompt_source", "prompt": "p", "request_id": name}))
        assert [(await parts.heard(client))["status"] for _ in range(2)] == ["applied", "pending"]
        cut.set()
        assert (await parts.last_words(client))[1:] == (1000, "done")
    assert heard == [
        *(("session_init_v2", name) for name in ("one", "two", "three")),
        *(("session_resume", name) for name in ("two", "three")),
    ]


async def test_a_client_that_leaves_meanwhile_is_not_waited_for(parts, replicas, route):
    (a,) = await replicas("a")
    async with route(a, resume_timeout_seconds=1000.0) as router:
        async with router.client() as client:
            await parts.started(client)
            a.full = True
            a.connections[0].transport.abort()
            await parts.until(lambda: len(a.connections) > 1)
            await client.close(1000, "bye")
        await parts.until(lambda: not router.state.sessions)


async def test_a_client_that_came_back_by_itself_is_not_robbed_by_its_older_connection(parts, replicas, route):
    (a,) = await replicas("a")
    async with route(a) as router, router.client() as older:
        await parts.started(older)
        resume = {"type": "session_resume", "resume_token": "token-a-1", "last_sequence": 0, "frames_after": 3}
        async with router.client(opening=json.dumps(resume)) as newer:
            await parts.heard(newer)
            # As a server does whose session has another connection now.
            a.connections[0].transport.abort()
            assert (await parts.last_words(older))[1] == 1011
            assert len(a.openings) == 2
            await newer.send("mine")
            await parts.until(lambda: "mine" in a.said)


async def test_a_replica_that_was_taken_out_of_the_config_can_still_go_on_with_its_sessions(parts, replicas, route):
    a, b = await replicas("a", "b")
    frames = stream()
    sessions = Sessions(frames, [9000])
    b.script = sessions.serve
    reached = asyncio.Event()
    served = sessions.serve

    async def announced(replica, connection):
        reached.set()
        await served(replica, connection)

    b.script = announced
    async with route(b, a) as router, router.client() as client:
        await reached.wait()
        router.state.reload(RouterConfig(replicas=[ReplicaEndpoint(a.url, name="a")]))
        assert await everything(client) == frames
    assert a.openings == []


@pytest.mark.parametrize("spoils", ["type", "token"])
async def test_only_a_true_answer_is_taken_for_one(parts, replicas, route, spoils):
    (a,) = await replicas("a")

    async def odd(replica, connection):
        replica.openings.append(json.loads(await connection.recv()))
        if len(replica.openings) == 1:
            await replica.say(connection, "queue_status", position=0, queue_depth=0, session_id="s", resume_token="t")
            connection.transport.abort()
            return
        kind, fields = ("gpu_assigned", {}) if spoils == "type" else ("queue_status", {"position": 0, "queue_depth": 0})
        await replica.say(connection, kind, **fields)
        await connection.wait_closed()

    a.script = odd
    async with route(a, resume_timeout_seconds=0.2) as router, router.client() as client:
        message, code, _ = await parts.last_words(client)
    assert (message["code"], code) == ("worker_failed", 1011)
