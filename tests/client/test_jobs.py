"""Videos and images of a server, and downloads over connections that break."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import av
import pytest
from PIL import Image

from fastvideo.client import AsyncClient, Client, RequestRefused, ServerBusy, VideoFailed
from fastvideo.entrypoints.openai.protocol import VideoError, VideoResponse

pytestmark = pytest.mark.timeout(120)


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "PNG")
    return file.getvalue()


async def test_a_video_is_made_followed_fetched_and_deleted(served: str, tmp_path: Path) -> None:
    async with AsyncClient(served) as client:
        job = await client.videos.create(prompt="a red ball", seconds=2, seed=7, input_reference=png())
        assert job.status == "queued"
        heard: list[tuple[str, int]] = []
        video = await job.wait(progress=lambda video: heard.append((video.status, video.progress)))
        assert (video.status, video.progress, video.seconds, job.status) == ("completed", 100, "2", "completed")
        assert heard[-1] == ("completed", 100)
        assert heard == sorted(heard, key=lambda one: one[1])
        assert await job.save(tmp_path / "a.mp4") == tmp_path / "a.mp4"
        assert (tmp_path / "a.mp4").read_bytes() == await job.content()
        assert (await client.videos.retrieve(job.id)).video == video
        assert job.id in [one.id async for one in client.videos.list()]
        assert (await job.delete()).status == "deleted"
        with pytest.raises(RequestRefused, match="video_not_found") as caught:
            await client.videos.retrieve(job.id)
        assert (caught.value.status, caught.value.param) == (404, "video_id")
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 48


def test_the_sync_client_does_the_same_and_a_state_goes_on(served: str, tmp_path: Path) -> None:
    with Client(served) as client:
        job = client.videos.create(prompt="a red ball", num_frames=24, return_state=True)
        threads = set()
        job.wait(progress=lambda video: threads.add(threading.current_thread()))
        assert threads == {threading.main_thread()}
        assert job.state is not None
        second = client.videos.create(prompt="it turns green", num_frames=24, state=job.state, return_state=True)
        assert second.wait().status == "completed"
        assert second.state is not None
        assert second.state.payload["segment_index"] == job.state.payload["segment_index"] + 1
        assert second.save(tmp_path / "b.mp4").stat().st_size == len(second.content())
        assert {job.id, second.id} <= {one.id for one in client.videos.list(order="asc")}
        assert client.videos.delete(job.id).deleted
        assert second.refresh().status == "completed"
        assert second.delete().deleted
        (image,) = client.images.generate(prompt="a star", size="64x64")
        image.save(tmp_path / "a.png")
        (edited,) = client.images.edit(image=tmp_path / "a.png", prompt="a ring", output_format="jpeg")
    assert Image.open(io.BytesIO(image.data)).size == (64, 64)
    assert Image.open(io.BytesIO(edited.data)).format == "JPEG"


async def test_what_the_server_does_not_take_is_told_with_its_parameter(served: str) -> None:
    async with AsyncClient(served) as client:
        with pytest.raises(RequestRefused, match=r"HTTP 400, limit_exceeded: .*'size'") as caught:
            await client.videos.create(prompt="x", size="1x1")
        assert (caught.value.param, caught.value.error_code) == ("size", "limit_exceeded")
        with pytest.raises(ValueError, match="expected the id of a video"):
            await client.videos.retrieve("")


async def test_the_same_idempotency_key_gives_the_same_video(served: str) -> None:
    async with AsyncClient(served) as client:
        jobs = [
            await client.videos.create(prompt="x", num_frames=9, idempotency_key="once-in-this-test") for _ in range(2)
        ]
        assert jobs[0].id == jobs[1].id
        await jobs[0].wait()
        await jobs[0].delete()


async def test_a_video_that_is_deleted_while_it_is_waited_for_is_told(served: str) -> None:
    async with AsyncClient(served) as client:
        job = await client.videos.create(prompt="x", num_frames=9)
        await client.videos.delete(job.id)
        with pytest.raises((VideoFailed, RequestRefused)):
            await job.wait()


# --- a server of the test's own words


def head(status: str, length: int | None, *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *more, "connection: close"]
    if length is not None:
        lines.append(f"content-length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Answers:
    """A server that gives each request the next answer, and breaks off where that ends."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    @asynccontextmanager
    async def client(self) -> AsyncIterator[AsyncClient]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        async with server, AsyncClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
            yield client

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(request)
        writer.write(self._answers.pop(0))
        await writer.drain()
        writer.close()


def told(status: str, **more: object) -> bytes:
    return VideoResponse(id="video_1", created_at=1, status=status, **more).model_dump_json().encode()  # type: ignore[arg-type]


def json_answer(body: bytes) -> bytes:
    return head("200 OK", len(body), "content-type: application/json") + body


def events(*bodies: bytes) -> bytes:
    lines = b"".join(b"event: video\ndata: " + body + b"\n\n" for body in bodies)
    return head("200 OK", None, "content-type: text/event-stream") + lines


async def test_a_wait_goes_on_over_broken_connections_and_a_server_that_starts_again() -> None:
    busy = b'{"error": {"message": "Starting.", "code": "draining"}}'
    answers = Answers(
        json_answer(told("queued")),
        events(told("in_progress", progress=10)),
        b"",
        head("503 Service Unavailable", len(busy)) + busy,
        events(told("in_progress", progress=10), told("in_progress", progress=60), told("completed", progress=100)),
        json_answer(told("completed", progress=100)),
    )
    async with answers.client() as client:
        job = await client.videos.retrieve("video_1")
        heard = [video.progress async for video in job.follow()]
        assert heard == [10, 60, 100]
        assert (await job.wait()).status == "completed"
    assert [asked.split()[1] for asked in answers.asked].count("/v1/videos/video_1/events") == 4


async def test_a_video_that_cannot_be_made_says_why() -> None:
    error = VideoError(code="worker_failed", message="The worker could not make this segment.")
    failed = told("failed", error=error)
    answers = Answers(json_answer(told("queued")), events(failed), json_answer(failed))
    async with answers.client() as client:
        job = await client.videos.retrieve("video_1")
        with pytest.raises(VideoFailed, match="video_1 was not made, worker_failed: The worker could not") as caught:
            await job.wait()
        assert caught.value.why == "worker_failed"


async def test_a_download_that_is_cut_goes_on_where_it_was(tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096
    cut = 300_000
    answers = Answers(
        json_answer(told("completed")),
        head("200 OK", len(data), 'etag: "a"') + data[:cut],
        b"",
        head("206 Partial Content", len(data) - cut, 'etag: "a"') + data[cut:],
    )
    async with answers.client() as client:
        await (await client.videos.retrieve("video_1")).save(tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == data
    assert not (tmp_path / "a.mp4.part").exists()
    assert f"range: bytes={cut}-" in answers.asked[-1].lower()
    assert 'if-range: "a"' in answers.asked[-1].lower()


async def test_a_file_that_changed_meanwhile_is_fetched_anew(tmp_path: Path) -> None:
    answers = Answers(
        json_answer(told("completed")),
        head("200 OK", 9, 'etag: "a"') + b"old",
        head("200 OK", 3, 'etag: "b"') + b"new",
    )
    async with answers.client() as client:
        await (await client.videos.retrieve("video_1")).save(tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == b"new"


async def test_a_full_server_says_when_to_come_back() -> None:
    body = b'{"error": {"message": "As many jobs wait as this server takes.", "code": "queue_full"}}'
    answers = Answers(head("429 Too Many Requests", len(body), "retry-after: 5") + body)
    async with answers.client() as client:
        with pytest.raises(ServerBusy, match="queue_full") as caught:
            await client.videos.create(prompt="x")
        assert caught.value.retry_after_s == 5.0


async def test_a_server_of_another_kind_is_told_by_its_status() -> None:
    answers = Answers(head("404 Not Found", 4) + b"<p>?")
    async with answers.client() as client:
        with pytest.raises(RequestRefused, match="HTTP 404: The server answered with HTTP 404"):
            await client.videos.retrieve("video_1")
