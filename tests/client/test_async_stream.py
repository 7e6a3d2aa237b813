"""A stream as its user sees it, around the real server, over links that break, and with scripted servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection

from benchmarks.cutting_proxy import CuttingProxy
from fastvideo.client import (
    AsyncClient,
    InitSegment,
    KeyRefused,
    PromptRejected,
    ServerBusy,
    ServerUnreachable,
    StreamClosed,
    StreamError,
)
from fastvideo.entrypoints.streaming.protocol import (
    ErrorMessage,
    Ltx2SegmentComplete,
    Ltx2SegmentStart,
    Ltx2StreamStart,
    MediaInit,
    PromptStatus,
    QueueStatus,
    ServerMessage,
    encode_server_message,
)

pytestmark = pytest.mark.timeout(120)

Scripted = Callable[[Callable[[ServerConnection], Any]], AbstractAsyncContextManager[str]]
HELLO = QueueStatus(position=0, queue_depth=0, session_id="s")
START = Ltx2StreamStart(width=64, height=64, fps=24, num_frames=24)


@contextlib.asynccontextmanager
async def over_cut_links(url: str, cuts: Sequence[int]) -> AsyncIterator[AsyncClient]:
    """A client whose first links are broken after so many bytes each, wherever those are read."""
    async with CuttingProxy(int(url.rpartition(":")[2]), cuts) as proxy, at(proxy.url) as client:
        yield client
        assert len(proxy.cut_at_s) == len(cuts)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def pictures(path: Path) -> list[float]:
    """When the file's pictures are shown, in seconds."""
    with av.open(str(path)) as container:
        return [float(frame.time) for frame in container.decode(video=0)]


def sound_s(path: Path) -> float:
    with av.open(str(path)) as container:
        return sum(frame.samples for frame in container.decode(audio=0)) / 48_000


async def test_frames_are_the_pictures_of_the_prompt_each_with_its_sound(served: str) -> None:
    async with AsyncClient(served) as client, client.stream("a red ball on blue", keep_going=False) as stream:
        assert (stream.width, stream.height, stream.fps, stream.ending) == (64, 64, 24, None)
        frames = [frame async for frame in stream.frames()]
        # Nothing is left to make, so the last sound, which comes with the next segment, is not waited for.
        assert [frame.index for frame in frames] == list(range(24))
        assert {frame.samples.shape for frame in frames[:21]} == {(2, 2000)}
        assert frames[0].pixels.shape == (64, 64, 3)
        assert frames[0].pixels.dtype == np.uint8
        assert len({frame.pixels.tobytes() for frame in frames}) > 12
        assert {(frame.segment_idx, frame.prompt) for frame in frames} == {(0, "a red ball on blue")}
        await stream.prompt("a green star on white")
        more = [frame async for frame in stream.frames(stop=True)]
        assert [frame.index for frame in more] == list(range(24, 48))
        assert (more[0].time_s, more[0].prompt) == (1.0, "a green star on white")
        assert stream.ending == "stop_requested"
        heard = sum(frame.samples.shape[1] for frame in [*frames, *more])
        assert heard == 96_000
        assert max(float(np.abs(frame.samples).max()) for frame in frames[:21]) > 0.01


async def test_frames_that_were_not_taken_are_the_first_of_the_next_iteration(served: str) -> None:
    async with AsyncClient(served) as client, client.stream("a red ball", keep_going=False) as stream:
        first = [frame.index async for frame in stream.frames(seconds=0.25)]
        async for frame in stream.frames():
            first.append(frame.index)
            if len(first) == 10:
                break
        assert first + [frame.index async for frame in stream.frames()] == list(range(24))


async def test_files_follow_one_another_and_each_begins_at_zero(served: str, tmp_path: Path) -> None:
    async with AsyncClient(served) as client, client.stream("a red ball") as stream:
        paths = [await stream.save(tmp_path / f"{name}.mp4", seconds=1) for name in "ab"]
        paths.append(await stream.save(tmp_path / "c.mp4", seconds=1, stop=True))
        assert stream.ending == "stop_requested"
    for path in paths:
        times = pictures(path)
        assert len(times) >= 24
        assert 0 <= times[0] < 0.07
        assert np.diff(times) == pytest.approx(1 / 24, abs=1e-3)
    # The last one has all of its sound; the others miss what comes with the segment after.
    assert sound_s(paths[2]) >= len(pictures(paths[2])) / 24 - 0.01
    assert names(tmp_path) == ["a.mp4", "b.mp4", "c.mp4"]


async def test_a_file_plays_while_it_grows_and_beside_the_frames(served: str, tmp_path: Path) -> None:
    async with AsyncClient(served) as client, client.stream("a red ball", keep_going=False) as stream:
        with stream.record(tmp_path / "a.mp4"):
            seen = 0
            async for _ in stream.frames():
                seen += 1
                if seen == 12:
                    with av.open(str(tmp_path / "a.mp4.part")) as container:
                        assert sum(1 for _ in container.decode(video=0)) >= 12
        assert seen == 24
    assert len(pictures(tmp_path / "a.mp4")) == 24


async def test_a_cut_connection_leaves_no_trace_in_the_file(served: str, tmp_path: Path) -> None:
    # Three links break, wherever in messages and media these bytes fall.
    cuts = (6_000, 9_000, 9_000)
    async with over_cut_links(served, cuts) as client, client.stream(keep_going=False) as stream:
        for prompt in ("a red ball", "a blue star", "a green ring"):
            await stream.prompt(prompt)
        await stream.save(tmp_path / "a.mp4", stop=True)
        assert stream.resumed == len(cuts)
    assert np.diff(pictures(tmp_path / "a.mp4")) == pytest.approx(1 / 24, abs=1e-3)
    assert len(pictures(tmp_path / "a.mp4")) == 72
    assert sound_s(tmp_path / "a.mp4") == pytest.approx(3.0, abs=0.025)


async def test_frames_go_on_over_a_cut_connection(served: str) -> None:
    async with over_cut_links(served, [6_000]) as client, client.stream("a red ball", keep_going=False) as stream:
        assert [frame.index async for frame in stream.frames()] == list(range(24))
        assert stream.resumed == 1


async def test_a_snapshot_begins_another_stream(served: str) -> None:
    async with AsyncClient(served) as client:
        async with client.stream("a red ball", keep_going=False) as stream:
            assert len([frame async for frame in stream.frames()]) == 24
            state = await stream.snapshot()
        async with client.stream("a blue star", keep_going=False, state=state) as stream:
            assert len([frame async for frame in stream.frames()]) == 24
            assert (await stream.snapshot()).payload["segment_index"] == 1


async def test_a_stream_that_keeps_going_ends_at_the_servers_cap(live: Any) -> None:
    async with live(num_frames=9, width=64, height=64, segment_cap=2) as url, at(url).stream("a red ball") as stream:
        frames = [frame async for frame in stream.frames()]
        assert (len(frames), stream.ending) == (18, "segment_cap")
        with pytest.raises(StreamClosed, match="1000 'segment_cap'"):
            await stream.prompt("too late")
        await stream.stop()


# --- servers that refuse, leave, or say nonsense


def at(url: str) -> AsyncClient:
    return AsyncClient(url.replace("ws://", "http://").removesuffix("/v1/stream"))


async def tell(connection: ServerConnection, *frames: ServerMessage | bytes) -> None:
    for frame in frames:
        await connection.send(frame if isinstance(frame, bytes) else encode_server_message(frame))


async def request_id(connection: ServerConnection) -> str:
    while True:
        message = json.loads(await connection.recv())
        if message["type"] == "segment_prompt_source":
            return str(message["request_id"])


async def test_a_server_without_room_says_when_to_come_back(scripted: Scripted) -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.recv()
        await tell(
            connection, ErrorMessage(code="session_rejected", message="Full.", retryable=True, retry_after=3600.0)
        )
        await connection.close(1013)

    async with scripted(script) as url:
        with pytest.raises(ServerBusy, match="Full") as caught:
            async with at(url).stream():
                pass
        assert caught.value.retry_after_s == 3600.0
        assert isinstance(caught.value, StreamError)


async def test_a_key_that_is_missing_or_wrong_is_told_and_what_to_do_about_it(
    served_with_key: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, key = served_with_key
    for wrong in (None, "fv_wrong"):
        client = AsyncClient(url, api_key=wrong)
        with pytest.raises(KeyRefused, match=r"Pass api_key, or set FASTVIDEO_API_KEY"):
            async with client.stream():
                pass
        with pytest.raises(KeyRefused, match=r"Pass api_key, or set FASTVIDEO_API_KEY"):
            await client.videos.create(prompt="a fox")
        await client.close()
    monkeypatch.setenv("FASTVIDEO_API_KEY", key)
    async with AsyncClient(url) as client, client.stream() as stream:
        assert stream.session_id


async def test_a_server_that_is_not_there_is_named(scripted: Scripted) -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.recv()

    async with scripted(script) as url:
        pass
    address = url.replace("ws://", "http://").removesuffix("/v1/stream")
    async with AsyncClient(address) as client:
        with pytest.raises(ServerUnreachable, match=r"expected a fastvideo server at ws://127.*Is it running"):
            async with client.stream():
                pass
        with pytest.raises(ServerUnreachable, match=r"expected a fastvideo server at http://127.*Is it running"):
            await client.videos.retrieve("video_x")


async def test_a_server_that_goes_away_for_good_ends_the_reading_with_its_reason(
    scripted: Scripted, tmp_path: Path
) -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.recv()
        await tell(connection, HELLO, START)
        await request_id(connection)
        await tell(connection, ErrorMessage(code="gpu_unavailable", message="Bye.", retryable=True, reason="draining"))
        await connection.close(1001)

    async with scripted(script) as url, at(url).stream("a fox") as stream:
        with pytest.raises(StreamClosed, match=r"1001.*Bye"):
            await stream.save(tmp_path / "a.mp4")
    assert names(tmp_path) == []


async def test_a_prompt_that_is_refused_is_raised_where_it_is_read_and_reading_goes_on(scripted: Scripted) -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.recv()
        await tell(connection, HELLO, START)
        await tell(connection, PromptStatus(request_id=await request_id(connection), status="rejected", reason="no"))
        second = await request_id(connection)
        await tell(connection, PromptStatus(request_id=second, status="applied"))
        await tell(connection, ErrorMessage(code="worker_failed", message="Broken.", retryable=True))
        third = await request_id(connection)
        await tell(connection, PromptStatus(request_id=third, status="applied"))
        await tell(connection, Ltx2SegmentStart(segment_idx=0, prompt="c", total_steps=1))
        await tell(connection, Ltx2SegmentComplete(segment_idx=0, generation_time_ms=1.0))
        await connection.wait_closed()

    async with scripted(script) as url, at(url).stream("a", keep_going=False) as stream:
        with pytest.raises(PromptRejected, match="rejected: no"):
            [frame async for frame in stream.frames()]
        await stream.prompt("b")
        with pytest.raises(StreamError, match="worker_failed: Broken"):
            [frame async for frame in stream.frames()]
        await stream.prompt("c")
        assert [frame async for frame in stream.frames()] == []


async def test_a_slow_reader_holds_the_server_up(scripted: Scripted) -> None:
    count, sent = 400, 0
    fragment = b"\x00\x04\x00\x00moof" + bytes((1 << 18) - 8)

    async def script(connection: ServerConnection) -> None:
        nonlocal sent
        await connection.recv()
        await tell(connection, HELLO, START, MediaInit(segment_idx=0, stream_id="t"), b"\x00\x00\x00\x08ftyp")
        for _ in range(count):
            await connection.send(fragment)
            sent += 1
        await connection.close()

    async with scripted(script) as url, at(url).stream() as stream:
        events = stream.events()
        while not isinstance(await anext(events), InitSegment):
            pass
        before = -1
        async with asyncio.timeout(30):
            while before != sent:  # until the server stands still
                before = sent
                await asyncio.sleep(0.2)
        # The sockets' buffers and a few frames; not the 100 MiB that there are.
        assert 0 < sent < count / 2
        assert len([event async for event in events]) == count


async def test_the_newest_reader_reads(scripted: Scripted) -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.recv()
        await tell(connection, HELLO, START)
        await connection.recv()
        await tell(connection, HELLO, HELLO)
        await connection.wait_closed()

    async with scripted(script) as url, at(url).stream() as stream:
        first, second = stream.events(), stream.events()
        assert await anext(first) == HELLO
        assert await anext(second) == START
        await stream.cancel()
        with pytest.raises(RuntimeError, match="one reader of a stream at a time"):
            await anext(first)
