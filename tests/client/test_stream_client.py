"""The asyncio client against a scripted server, and against the real one."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import av
import pytest
from websockets.asyncio.server import ServerConnection

from fastvideo.client import (
    InitSegment,
    MediaFragment,
    ProtocolViolation,
    Recording,
    SegmentStopped,
    StreamClient,
    StreamClosed,
    StreamError,
)
from fastvideo.entrypoints.streaming.protocol import (
    ContinuationStateSnapshot,
    ErrorMessage,
    Ltx2SegmentComplete,
    Ltx2SegmentStart,
    Ltx2StreamComplete,
    Ltx2StreamStart,
    MediaInit,
    MediaSegmentComplete,
    Pong,
    PromptStatus,
    QueueStatus,
    SegmentCancelled,
    ServerMessage,
    SessionInitV2,
    StateEnvelope,
    encode_server_message,
)

Scripted = Callable[[Callable[[ServerConnection], Any]], AbstractAsyncContextManager[str]]
Live = Callable[..., AbstractAsyncContextManager[str]]

PAGE = (Path(__file__).resolve().parents[2] / "docs/protocol.md").read_text("utf-8")
START = Ltx2StreamStart(width=64, height=32, fps=24, num_frames=9)
INIT = b"\x00\x00\x00\x08ftyp" + b"\x00\x00\x00\x08moov"
FRAGMENT = b"\x00\x00\x00\x08moof" + b"\x00\x00\x00\x08mdat"


@pytest.fixture(autouse=True)
def _no_test_takes_long(request: pytest.FixtureRequest) -> None:
    request.node.add_marker(pytest.mark.timeout(60))


async def read(connection: ServerConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await connection.recv())
    return message


async def tell(connection: ServerConnection, *frames: ServerMessage | bytes) -> None:
    for frame in frames:
        await connection.send(frame if isinstance(frame, bytes) else encode_server_message(frame))


async def test_the_opening_message_goes_first_and_start_is_awaited(scripted: Scripted) -> None:
    openings: list[dict[str, Any]] = []

    async def script(connection: ServerConnection) -> None:
        openings.append(await read(connection))
        await tell(connection, QueueStatus(position=0, queue_depth=0, session_id="s1"), START)
        await connection.wait_closed()

    async with scripted(script) as url, await StreamClient.connect(url, SessionInitV2(client_id="me")) as client:
        assert await client.started() == START
        assert await client.started() == START
        assert client.protocol.session_id == "s1"
        assert (await client.receive()) == QueueStatus(position=0, queue_depth=0, session_id="s1")
        assert (await client.receive()) == START
    assert openings[0]["type"] == "session_init_v2"
    assert openings[0]["client_id"] == "me"


async def test_a_refusal_is_an_error_with_its_message_and_then_a_close(scripted: Scripted) -> None:
    refusal = ErrorMessage(code="session_rejected", message="full", retryable=True)

    async def script(connection: ServerConnection) -> None:
        await read(connection)
        await tell(connection, refusal)
        await connection.close(1013, "session_rejected")

    async with scripted(script) as url, await StreamClient.connect(url) as client:
        with pytest.raises(StreamError, match="session_rejected: full") as caught:
            await client.started()
        assert caught.value.message == refusal
        assert [event async for event in client] == [refusal]
        with pytest.raises(StreamClosed, match="1013 'session_rejected', after: full"):
            await client.receive()
        assert (client.close_code, client.close_reason) == (1013, "session_rejected")
        with pytest.raises(StreamClosed):
            await client.prompt("too late")


async def test_a_refusal_before_the_opening_message_is_read_still_says_why(scripted: Scripted) -> None:
    closed = asyncio.Event()

    async def script(connection: ServerConnection) -> None:
        await read(connection)
        await tell(connection, ErrorMessage(code="session_rejected", message="full"))
        await connection.close(1013, "session_rejected")
        closed.set()

    async with scripted(script) as url, await StreamClient.connect(url) as client:
        await closed.wait()
        # The close has arrived, and nothing was read yet.
        with pytest.raises(StreamClosed, match="1013 'session_rejected', after: full"):
            await client.prompt("a fox")
        assert [event async for event in client] == [ErrorMessage(code="session_rejected", message="full")]


async def test_stopping_a_stream_that_has_ended_by_itself_gives_its_ending(scripted: Scripted) -> None:
    closed = asyncio.Event()

    async def script(connection: ServerConnection) -> None:
        await read(connection)
        await tell(connection, Ltx2StreamComplete(reason="segment_cap"))
        await connection.close()
        closed.set()

    async with scripted(script) as url, await StreamClient.connect(url) as client:
        await closed.wait()
        for _ in range(2):
            assert (await client.stop()).reason == "segment_cap"


async def test_answers_are_found_while_someone_else_iterates_and_nothing_is_lost(scripted: Scripted) -> None:
    snapshot = ContinuationStateSnapshot.of(StateEnvelope(kind="ltx2.v1", payload={"segment_index": 2}))

    async def script(connection: ServerConnection) -> None:
        await read(connection)
        await tell(connection, START)
        for _ in range(2):
            question = await read(connection)
            if question["type"] == "ping":
                await tell(connection, QueueStatus(position=1, queue_depth=1), Pong(id=question["id"]))
            else:
                await tell(connection, QueueStatus(position=2, queue_depth=1), snapshot)
        await connection.close(1000, "done")

    async with scripted(script) as url, await StreamClient.connect(url) as client:

        async def collect() -> list[str]:
            return [event.type for event in [event async for event in client] if not isinstance(event, InitSegment)]  # type: ignore[union-attr]

        seen = asyncio.create_task(collect())
        _, answer = await asyncio.gather(client.ping(), client.snapshot())
        assert answer.state == StateEnvelope(kind="ltx2.v1", payload={"segment_index": 2})
        assert sorted(await seen) == sorted(
            ["ltx2_stream_start", "queue_status", "pong", "queue_status", "continuation_state_snapshot"]
        )


async def test_a_snapshot_that_is_refused_is_an_error(scripted: Scripted) -> None:
    async def script(connection: ServerConnection) -> None:
        await read(connection)
        await read(connection)
        await tell(connection, ErrorMessage(message="There is no state yet."))
        await connection.wait_closed()

    async with scripted(script) as url, await StreamClient.connect(url) as client:
        with pytest.raises(StreamError, match="There is no state yet"):
            await client.snapshot()


async def test_every_request_is_the_message_it_should_be(scripted: Scripted) -> None:
    received: list[dict[str, Any]] = []

    async def script(connection: ServerConnection) -> None:
        for _ in range(6):
            received.append(await read(connection))
        await tell(connection, Ltx2StreamComplete())
        await connection.close()

    async with scripted(script) as url, await StreamClient.connect(url) as client:
        request_id = await client.prompt("a fox", seed=3, negative_prompt="")
        await client.cancel()
        await client.pause()
        await client.report_playback(1.5, 20.0, 2)
        assert await client.stop() == Ltx2StreamComplete()
    assert received[1:] == [
        {
            "type": "segment_prompt_source",
            "prompt": "a fox",
            "negative_prompt": "",
            "source": "user",
            "seed": 3,
            "request_id": request_id,
        },
        {"type": "segment_cancel"},
        {"type": "generation_paused_updated", "paused": True},
        {"type": "playback_status", "position_ms": 1.5, "buffered_ms": 20.0, "stalls": 2},
        {"type": "session_stop"},
    ]


def segment_script(*outcome: Callable[[str], ServerMessage | bytes]) -> Callable[[ServerConnection], Any]:
    """Answers the first prompt with some frames made from its request id."""

    async def script(connection: ServerConnection) -> None:
        await read(connection)
        request_id = (await read(connection))["request_id"]
        await tell(connection, *(make(request_id) for make in outcome))
        await connection.wait_closed()

    return script


def applied(request_id: str) -> ServerMessage:
    return PromptStatus(request_id=request_id, status="applied")


def start(index: int) -> Callable[[str], ServerMessage]:
    return lambda _: Ltx2SegmentStart(segment_idx=index, prompt="p", total_steps=1)


def media(index: int) -> tuple[Callable[[str], ServerMessage | bytes], ...]:
    return (
        lambda _: MediaInit(segment_idx=index, stream_id="t"),
        lambda _: INIT,
        lambda _: FRAGMENT,
        lambda _: MediaSegmentComplete(segment_idx=index, stream_id="t", chunks=1),
        lambda _: Ltx2SegmentComplete(segment_idx=index, generation_time_ms=1.0),
    )


async def test_a_segment_is_the_one_of_its_prompt_not_one_that_ran_before(scripted: Scripted) -> None:
    script = segment_script(start(0), *media(0), applied, start(1), *media(1))
    async with scripted(script) as url, await StreamClient.connect(url) as client:
        segment = await client.segment("a fox")
    assert segment.start.segment_idx == 1
    assert segment.media == INIT + FRAGMENT
    assert segment.media_complete is not None
    assert segment.complete is not None


@pytest.mark.parametrize(
    ("outcome", "error", "words"),
    [
        ((applied, start(0), lambda _: SegmentCancelled(segment_idx=0)), SegmentStopped, "segment 0 was cancelled"),
        ((lambda _: ErrorMessage(code="worker_failed", message="no"),), StreamError, "worker_failed: no"),
        (
            (lambda id: PromptStatus(request_id=id, status="rejected", reason="prompt_blocked"),),
            SegmentStopped,
            "rejected: prompt_blocked",
        ),
        ((lambda _: FRAGMENT,), ProtocolViolation, "media_init"),
    ],
)
async def test_a_segment_that_does_not_come_says_why(
    scripted: Scripted, outcome: Any, error: type[Exception], words: str
) -> None:
    async with scripted(segment_script(*outcome)) as url, await StreamClient.connect(url) as client:
        with pytest.raises(error, match=words):
            await client.segment("a fox")


async def test_a_connection_that_ends_in_mid_segment_is_told(scripted: Scripted) -> None:
    async def script(connection: ServerConnection) -> None:
        await read(connection)
        await read(connection)
        await connection.close(1011, "internal_error")

    async with scripted(script) as url, await StreamClient.connect(url) as client:
        with pytest.raises(StreamClosed, match="1011 'internal_error'"):
            await client.segment("a fox")


async def test_a_server_that_is_no_stream_is_refused_with_a_sentence(scripted: Scripted) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/stream"
        with pytest.raises(StreamClosed, match="404"):
            await StreamClient.connect(url)
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await StreamClient.connect(url)


async def test_a_session_with_the_real_server_is_recorded_snapshotted_and_stopped(live: Live, tmp_path: Path) -> None:
    async with live(num_frames=24) as url, await StreamClient.connect(url) as client:
        started = await client.started()
        assert (started.width, started.height, started.fps, started.num_frames) == (256, 256, 24, 24)
        await client.prompt("a red ball on blue")
        await client.prompt("a green star on white")
        await client.ping()
        complete = 0
        with Recording(tmp_path / "stream.mp4") as recording:
            async for event in client:
                recording.add(event)
                if isinstance(event, Ltx2SegmentComplete):
                    complete += 1
                    if complete == 2:
                        snapshot = await client.snapshot()
                        assert (await client.stop()).reason == "stop_requested"
        assert client.close_code == 1000
        assert snapshot.payload is not None
        assert snapshot.payload["segment_index"] == 1
    with av.open(str(tmp_path / "stream.mp4")) as container:
        frames = sum(1 for _ in container.decode(video=0))
    assert frames == 48


async def test_a_snapshot_is_continued_by_another_session(live: Live) -> None:
    async with live(num_frames=9) as url:
        async with await StreamClient.connect(url) as client:
            await client.segment("a red ball")
            saved = (await client.snapshot()).state
        async with await StreamClient.connect(url, SessionInitV2(continuation_state=saved)) as client:
            segment = await client.segment("a blue star")
            after = (await client.snapshot()).state
    assert saved.payload["segment_index"] == 0
    assert after.payload["segment_index"] == 1
    with av.open(io.BytesIO(segment.media)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 9


async def test_cancel_stops_the_running_segment_and_the_session_goes_on(live: Live) -> None:
    async with (
        live(num_frames=24, sleep_ms=300_000, num_inference_steps=100) as url,
        await StreamClient.connect(url) as client,
    ):
        await client.prompt("a red ball")
        while not isinstance(await client.receive(), Ltx2SegmentStart):
            pass
        await client.cancel()
        async with asyncio.timeout(10):
            while not isinstance(await client.receive(), SegmentCancelled):
                pass
            await client.ping()
        assert client.close_code is None


async def test_the_example_in_the_documentation_records_a_file(live: Live, tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, "docs/protocol.md", "exec"), names)
    async with live(num_frames=9) as url:
        await names["record"](url, ["A red kite", "A blue kite"], str(tmp_path / "kites.mp4"))
    with av.open(str(tmp_path / "kites.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 18
    with av.open(str(tmp_path / "kites.mp4")) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert samples == pytest.approx(18 / 24 * 48_000, abs=2048)


async def test_media_frames_are_whole_and_typed(live: Live) -> None:
    async with live(num_frames=24) as url, await StreamClient.connect(url) as client:
        segment = await client.segment("a red ball")
    assert isinstance(segment.init, InitSegment)
    assert segment.init.mime.startswith('video/mp4; codecs="avc1.')
    assert all(isinstance(part, MediaFragment) for part in segment.fragments)
    assert segment.media_complete is not None
    assert segment.media_complete.bytes == len(segment.media)


async def test_the_mock_server_serves_64_sessions_and_refuses_the_next(live: Live) -> None:
    async with live(num_frames=2) as url, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(await StreamClient.connect(url)) for _ in range(64)]
        await asyncio.gather(*(client.started() for client in clients))
        segments = await asyncio.gather(*(client.segment("a red ball") for client in clients))
        assert all(segment.complete is not None for segment in segments)
        with pytest.raises(StreamError, match="session_rejected"):
            await (await stack.enter_async_context(await StreamClient.connect(url))).started()
