from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.server import ServerConnection, serve

from fastvideo.api.schema import ResumeConfig
from fastvideo.entrypoints.bench.address import stream_url_of
from fastvideo.entrypoints.bench.live_load import LiveLoad
from fastvideo.entrypoints.bench.live_metrics import live_metrics
from fastvideo.entrypoints.bench.live_session import End, Visit
from fastvideo.entrypoints.streaming.protocol import ErrorMessage, encode_server_message
from tests.entrypoints.bench.conftest import serving

PROMPTS = ["a red circle", "a blue square"]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with room for two sessions."""
    with serving(tmp_path_factory.mktemp("results"), max_sessions=2, resume=ResumeConfig(grace_seconds=0)) as address:
        yield stream_url_of(address)


def visit(watch_s: float = 0.5, steer_every_s: float = 0.0, patience_s: float = 60.0) -> Visit:
    return Visit(watch_s, steer_every_s, patience_s, 0.5, PROMPTS)


async def test_sessions_are_watched_and_steered_and_their_latencies_known(url: str) -> None:
    load = LiveLoad(url, visit(watch_s=3.0, steer_every_s=0.5), [0.0, 0.0], seed=1)
    await asyncio.wait_for(load.run(), 60)
    metrics = live_metrics(load.sessions, load.ended_s - load.begun_s)
    assert metrics.ends == {"watched": 2}
    assert metrics.first_frame is not None
    assert metrics.first_picture is not None
    assert metrics.join_gap is not None
    assert metrics.media_seconds > 2
    assert metrics.prompts_sent > 0
    for session in load.sessions:
        trace = session.trace
        assert trace.active_s is not None
        assert trace.first_media_s is not None
        assert trace.player.started_at_s is not None
        assert trace.asked_s <= trace.active_s <= trace.first_media_s <= trace.player.started_at_s <= trace.left_s
        for one in trace.steering:
            moments = [one.sent_s, one.applied_s, one.media_s, one.shown_s]
            known = [moment for moment in moments if moment is not None]
            assert known == sorted(known)
            # What has not been taken is not shown either.
            assert moments[: len(known)] == known


async def test_sessions_beyond_what_the_server_takes_are_refused_with_its_reason(url: str) -> None:
    load = LiveLoad(url, visit(), [0.0] * 5, seed=0)
    await asyncio.wait_for(load.run(), 60)
    ends = live_metrics(load.sessions, 1.0).ends
    assert ends.pop("watched") == 2
    assert sum(ends.values()) == 3
    assert all(end.startswith("refused: session_rejected") for end in ends)


async def test_what_is_broken_off_keeps_what_was_seen(url: str) -> None:
    load = LiveLoad(url, visit(watch_s=60.0), [0.0], seed=0)
    run = asyncio.create_task(load.run())
    async with asyncio.timeout(60):
        while not load.sessions or load.sessions[0].trace.first_media_s is None:
            assert not run.done()
            await asyncio.sleep(0.01)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    (session,) = load.sessions
    assert session.end is None
    assert session.trace.left_s > session.trace.asked_s
    assert live_metrics(load.sessions, 1.0).media_seconds > 0


@asynccontextmanager
async def mortal(url: str) -> AsyncIterator[tuple[str, Callable[[], None]]]:
    """The same server under another address, and what makes it die there: connections break, and nobody answers."""
    parts, writers = urlsplit(url), []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onwards = await asyncio.open_connection(parts.hostname, parts.port)
        writers.extend([writer, onwards[1]])
        await asyncio.gather(pass_on(reader, onwards[1]), pass_on(onwards[0], writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)

    def die() -> None:
        server.close()
        for writer in writers:
            writer.transport.abort()

    port = server.sockets[0].getsockname()[1]
    try:
        yield f"ws://127.0.0.1:{port}{parts.path}", die
    finally:
        die()
        await server.wait_closed()


async def test_a_server_that_dies_in_the_middle_is_lost_and_then_unreachable(url: str) -> None:
    async with mortal(url) as (address, die):
        load = LiveLoad(address, visit(watch_s=60.0), [0.0, 0.0], seed=0)
        run = asyncio.create_task(load.run())
        async with asyncio.timeout(60):
            while len(load.sessions) < 2 or any(one.trace.first_media_s is None for one in load.sessions):
                assert not run.done()
                await asyncio.sleep(0.01)
        die()
        await asyncio.wait_for(run, 60)
        assert live_metrics(load.sessions, 1.0).ends == {"lost: close 1006": 2}
        after = LiveLoad(address, visit(), [0.0], seed=0)
        await asyncio.wait_for(after.run(), 60)
        assert after.sessions[0].end is End.UNREACHABLE


async def refuse(connection: ServerConnection) -> None:
    await connection.recv()
    message = ErrorMessage(code="gpu_unavailable", message="full", retryable=True, reason="rate_limited")
    await connection.send(encode_server_message(message))
    await connection.close(1013, "full")


async def talk_nonsense(connection: ServerConnection) -> None:
    await connection.recv()
    await connection.send(b"media that nothing announced")
    await connection.wait_closed()


async def say_nothing(connection: ServerConnection) -> None:
    await connection.wait_closed()


@pytest.mark.parametrize(
    ("script", "end", "why"),
    [
        (refuse, End.REFUSED, "gpu_unavailable: rate_limited"),
        (talk_nonsense, End.INVALID, "media or a message that cannot be read"),
        (say_nothing, End.SILENT, "2 s"),
    ],
)
async def test_each_way_to_end_badly_is_told_from_the_others(script: object, end: End, why: str) -> None:
    async with serve(script, "127.0.0.1", 0) as server:  # type: ignore[arg-type]
        port = server.sockets[0].getsockname()[1]
        load = LiveLoad(f"ws://127.0.0.1:{port}/v1/stream", visit(patience_s=2.0), [0.0], seed=0)
        await asyncio.wait_for(load.run(), 60)
    (session,) = load.sessions
    assert (session.end, session.why) == (end, why)


async def test_the_same_seed_has_viewers_say_the_same(url: str) -> None:
    said: list[list[str]] = []

    async def listen(connection: ServerConnection) -> None:
        said[-1].append(str(await connection.recv()))
        await connection.close(1011)

    async with serve(listen, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        for seed in (3, 3, 4):
            said.append([])
            await LiveLoad(f"ws://127.0.0.1:{port}/v1/stream", visit(), [0.0] * 4, seed=seed).run()
    first, again, other = (sorted(openings) for openings in said)
    assert first == again != other


def test_the_address_of_streams_is_that_of_the_server() -> None:
    assert stream_url_of("https://host:1/base") == "wss://host:1/base/v1/stream"
    assert stream_url_of("http://h") == "ws://h/v1/stream"
