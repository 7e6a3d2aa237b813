"""Recordings through `fastvideo serve`: over HTTP, after `kill -9`, and in a browser."""

from __future__ import annotations

import asyncio
import io
import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from fastvideo.client.stream_client import StreamClient
from fastvideo.entrypoints.streaming.protocol import SessionInitV2

pytestmark = pytest.mark.timeout(180)

FPS = 24
FRAMES = 49
SIZE = {"width": 256, "height": 144, "num_frames": FRAMES, "fps": FPS, "num_inference_steps": 2}


@pytest.fixture(scope="module")
def serve(start_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Any]:
    """Serves a fake model, and records into a folder."""

    def serve_into(folder: Path) -> Any:
        config = {
            "generator": {"model_path": "mock:?rtf=0.3"},
            "server": {"host": "127.0.0.1", "port": 0},
            "default_request": {"sampling": SIZE},
            "streaming": {
                "generation_segment_cap": 100,
                "warmup": {"enabled": False},
                "recordings": {"dir": str(folder)},
            },
        }
        path = tmp_path_factory.mktemp("config") / "serve.json"
        path.write_text(json.dumps(config))
        return start_server("-m", "fastvideo.entrypoints.cli.main", "serve", "--config", str(path))

    return serve_into


def get(url: str, **headers: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as response:
        body: bytes = response.read()
        return body


def until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    deadline_s = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline_s, "it did not come true"
        time.sleep(0.02)
    return found


def listed(url: str) -> list[dict[str, Any]]:
    sessions: list[dict[str, Any]] = json.loads(get(f"{url}/v1/sessions"))["sessions"]
    return sessions


def times(data: bytes) -> tuple[list[float], float]:
    """The pictures' times, and the length of the decoded sound, in seconds."""
    with av.open(io.BytesIO(data)) as container:
        pictures = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    with av.open(io.BytesIO(data)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    return pictures, samples / 48_000


def stream_url(url: str) -> str:
    return url.replace("http:", "ws:") + "/v1/stream"


async def recorded_session(url: str, prompts: list[str]) -> None:
    async with await StreamClient.connect(stream_url(url), SessionInitV2(record=True)) as client:
        await client.started()
        for prompt in prompts:
            await client.segment(prompt)
        await client.stop()


def test_sessions_are_kept_over_a_kill_9_of_the_server_also_those_that_it_was_recording(
    serve: Callable[[Path], Any], tmp_path: Path
) -> None:
    server = serve(tmp_path)
    asyncio.run(recorded_session(server.url, ["a paper boat", "a storm"]))
    about = until(lambda: [one for one in listed(server.url) if one["state"] == "ended"])[0]
    media = f"/v1/sessions/{about['id']}/recording.mp4"
    data = get(server.url + media)
    pictures, sound_s = times(data)
    assert pictures == pytest.approx([index / FPS for index in range(2 * FRAMES)], abs=1e-4)
    assert sound_s == pytest.approx(2 * FRAMES / FPS, abs=0.05)
    assert (about["prompt"], about["segments"], about["bytes"]) == ("a paper boat", 2, len(data))
    assert get(server.url + media, Range="bytes=-100") == data[-100:]

    asyncio.run(sessions_until_it_is_killed(server))
    again = serve(tmp_path)
    *interrupted, whole = listed(again.url)
    assert whole == about
    assert get(again.url + media) == data
    assert [one["reason"] for one in interrupted] == ["interrupted"] * 3
    for one in interrupted:
        pictures, sound_s = times(get(f"{again.url}/v1/sessions/{one['id']}/recording.mp4"))
        assert len(pictures) == round(one["duration_s"] * FPS) > FPS
        assert one["duration_s"] - 0.1 < sound_s < one["duration_s"] + 0.05
        events = get(f"{again.url}/v1/sessions/{one['id']}/events").decode().splitlines()
        assert json.loads(events[-1])["payload"]["reason"] == "interrupted"
        assert one["prompt"] == "prompt 0"
        assert get(f"{again.url}/v1/sessions/{one['id']}/poster.jpg")[:2] == b"\xff\xd8"
    again.stop()


async def sessions_until_it_is_killed(server: Any) -> None:
    """Three that record at once, for a second or more each."""
    clients = [await StreamClient.connect(stream_url(server.url), SessionInitV2(record=True)) for _ in range(3)]
    for client in clients:
        await client.started()
        for number in range(8):
            await client.prompt(f"prompt {number}")

    async def read(client: StreamClient) -> None:
        async for _ in client:
            pass

    def long_enough() -> bool:
        return sum(one["state"] == "recording" and one["duration_s"] > 1 for one in listed(server.url)) == 3

    readers = [asyncio.create_task(read(client)) for client in clients]
    await asyncio.to_thread(until, long_enough, 60)
    server.kill()
    for reader in readers:
        # Clients would wait for the server to be back.
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    for client in clients:
        await client.close()


@pytest.mark.browser
def test_the_page_records_a_stream_and_plays_it_again_to_the_end_and_deletes_it(
    serve: Callable[[Path], Any], tmp_path: Path, open_page: Callable[..., Any]
) -> None:
    server = serve(tmp_path)
    page = open_page(server.url)
    page.page.click("#record-toggle")
    for prompt in ("A paper boat", "It tips over"):
        page.say(prompt)
    page.until("__fastvideo.session.recording?.state === 'recording'")
    page.until("__fastvideo.session.segments[1]?.status === 'complete'")

    # While it grows.
    page.page.click("#recordings-open")
    page.page.click(".recorded")
    page.until("document.querySelector('.watch__video').duration >= 4")
    page.page.click(".watch__back")
    page.page.keyboard.press("Escape")

    page.page.click("#stop")
    page.until("__fastvideo.session.phase === 'ended'")
    until(lambda: listed(server.url)[0]["state"] == "ended")
    page.page.click("#recordings-open")
    page.page.click(".recorded:has-text('A paper boat')")
    page.until("document.querySelector('.watch__video').readyState === 4")
    video = "document.querySelector('.watch__video')"
    # As long as the pictures, to the millisecond, so that the file's index was understood.
    assert page.read(f"{video}.duration") == pytest.approx(2 * FRAMES / FPS, abs=0.001)
    page.page.click(".watch__scene:has-text('It tips over')")
    page.until(f"{video}.currentTime > {FRAMES / FPS} && !{video}.seeking")
    assert page.read(f"{video}.getVideoPlaybackQuality().totalVideoFrames") > 0
    assert page.read(f"{video}.webkitAudioDecodedByteCount") > 0
    page.until(f"{video}.ended")
    assert page.read(f"{video}.error") is None

    page.page.click(".watch__remove")
    page.page.click(".watch__remove")
    page.until("document.querySelectorAll('.recorded').length === 0")
    assert listed(server.url) == []
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    server.stop()
