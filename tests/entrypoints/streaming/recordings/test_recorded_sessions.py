"""Sessions that are recorded: through the runner, without sockets, and what HTTP gives of them."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from fastvideo.api.schema import RecordingsConfig, ResumeConfig
from fastvideo.entrypoints.streaming.recordings import routes, session_recorder
from fastvideo.entrypoints.streaming.session_record import load_record

HERE = "http://localhost"


class Recorded:
    """A stage whose server records, its HTTP side, and sessions on it."""

    def __init__(self, stage: Any, http: httpx.AsyncClient, folder: Path) -> None:
        self.stage = stage
        self.http = http
        self.folder = folder

    @property
    def recordings(self) -> Any:
        return self.stage.server.recordings

    async def session(self, *prompts: str, stop: bool = True, **opening: Any) -> tuple[Any, str]:
        """A recorded session with these prompts: its client, and its id."""
        client = self.stage.open(record=True, **opening)
        await client.hears("ltx2_stream_start")
        for number, prompt in enumerate(prompts):
            client.say("segment_prompt_source", prompt=prompt)
            await client.hears("ltx2_segment_complete", number + 1)
        if stop:
            client.say("session_stop")
            await self.stage.over()
        return client, client.of("queue_status")[0]["session_id"]

    def written_s(self, recording_id: str) -> float:
        """How much of it is on the disk."""
        info = self.recordings.get(recording_id)
        return 0.0 if info is None else float(info.duration_s)

    async def ended(self, recording_id: str) -> dict[str, Any]:
        """Its description, once it has ended."""
        async with asyncio.timeout(20):
            while True:
                answer = await self.http.get(f"/v1/sessions/{recording_id}")
                if answer.status_code == 200 and answer.json()["state"] == "ended":
                    return dict(answer.json())
                await asyncio.sleep(0.005)


@pytest.fixture
async def recorded(stage: Callable[..., Any], tmp_path: Path) -> AsyncIterator[Callable[..., Recorded]]:
    made: list[Recorded] = []

    def make(generator: Any = None, streaming: dict[str, Any] | None = None, **settings: Any) -> Recorded:
        config = RecordingsConfig(dir=str(tmp_path / "kept"), **settings)
        one = stage(generator, recordings=config, **(streaming or {}))
        transport = httpx.ASGITransport(app=one.app, client=("127.0.0.1", 5000))
        made.append(Recorded(one, httpx.AsyncClient(transport=transport, base_url=HERE), tmp_path / "kept"))
        return made[-1]

    yield make
    for one in made:
        await one.http.aclose()
        for session in one.stage.sessions:
            session.cancel()
        await asyncio.gather(*one.stage.sessions, return_exceptions=True)
        await asyncio.to_thread(one.recordings.close)


async def test_a_recording_is_what_the_client_got_and_can_be_listed_watched_and_removed(
    recorded: Callable[..., Recorded], played: Callable[..., Any]
) -> None:
    server = recorded()
    client, recording_id = await server.session("a kite", "a storm")
    assert client.of("recording_status") == [{"type": "recording_status", "state": "recording"}]
    about = await server.ended(recording_id)
    assert (about["reason"], about["prompt"], about["segments"]) == ("stop_requested", "a kite", 2)
    assert about["duration_s"] == 2.0
    listed = (await server.http.get("/v1/sessions")).json()
    assert listed == {"sessions": [about], "more": False}

    media = await server.http.get(f"/v1/sessions/{recording_id}/recording.mp4")
    assert (media.status_code, media.headers["content-type"]) == (200, "video/mp4")
    assert len(played(media.content)) == 16
    init, fragments = client.media[0], [data for data in client.media if data[4:8] != b"ftyp"]
    assert media.content.startswith(init)
    assert media.content.endswith(b"".join(fragments))
    poster = await server.http.get(f"/v1/sessions/{recording_id}/poster.jpg")
    assert poster.headers["content-type"] == "image/jpeg"
    assert poster.content[:2] == b"\xff\xd8"
    events = (await server.http.get(f"/v1/sessions/{recording_id}/events")).text.splitlines()
    assert '"prompt":"a storm"' in events[3]
    assert '"event":"recording_end"' in events[-1]

    assert (await server.http.delete(f"/v1/sessions/{recording_id}")).status_code == 204
    assert (await server.http.delete(f"/v1/sessions/{recording_id}")).status_code == 404
    assert (await server.http.get(f"/v1/sessions/{recording_id}/recording.mp4")).status_code == 404
    assert [path.name for path in server.folder.iterdir()] == [".lock"]


async def test_nothing_is_recorded_that_nobody_asked_for(recorded: Callable[..., Recorded]) -> None:
    server = recorded()
    client = server.stage.open()
    await client.hears("ltx2_stream_start")
    client.say("segment_prompt_source", prompt="private")
    await client.hears("ltx2_segment_complete")
    client.say("session_stop")
    await server.stage.over()
    assert client.of("recording_status") == []
    assert [path.name for path in server.folder.iterdir()] == [".lock"]


async def test_a_server_that_makes_no_recordings_says_so_and_streams(stage: Callable[..., Any]) -> None:
    one = stage()
    client = one.open(record=True)
    await client.hears("ltx2_stream_start")
    expected = {"type": "recording_status", "state": "unavailable", "reason": "not_offered"}
    assert client.of("recording_status") == [expected]
    client.say("segment_prompt_source", prompt="a kite")
    await client.hears("ltx2_segment_complete")
    transport = httpx.ASGITransport(app=one.app, client=("127.0.0.1", 5000))
    async with httpx.AsyncClient(transport=transport, base_url=HERE) as http:
        for path in ("", f"/{'0' * 32}", f"/{'0' * 32}/recording.mp4", f"/{'0' * 32}/events"):
            assert (await http.get(f"/v1/sessions{path}")).status_code == 404
        assert not (await http.get("/v1/info")).json()["features"]["recordings"]


async def test_a_recording_can_be_watched_while_it_grows(
    recorded: Callable[..., Recorded], fakes: Any, played: Callable[..., Any]
) -> None:
    server = recorded()
    client, recording_id = await server.session("one", stop=False)
    await fakes.until(lambda: server.written_s(recording_id) == 1)
    path = f"/v1/sessions/{recording_id}/recording.mp4"
    first = await server.http.get(path, headers={"range": "bytes=0-"})
    assert (first.status_code, len(played(first.content))) == (206, 8)
    assert (await server.http.get(f"/v1/sessions/{recording_id}")).json()["state"] == "recording"
    client.say("segment_prompt_source", prompt="two")
    await client.hears("ltx2_segment_complete", 2)
    await fakes.until(lambda: server.written_s(recording_id) == 2)
    size = len(first.content)
    rest = await server.http.get(path, headers={"range": f"bytes={size}-"})
    assert rest.headers["content-range"] == f"bytes {size}-{size + len(rest.content) - 1}/{size + len(rest.content)}"
    # What was there has not moved: only the index in front of it knows of more.
    assert len(played(first.content + rest.content)) >= 8
    whole = await server.http.get(path)
    assert len(played(whole.content)) == 16
    assert whole.headers["etag"] != first.headers["etag"]


async def test_the_session_goes_on_when_its_recording_ends(
    recorded: Callable[..., Recorded], played: Callable[..., Any]
) -> None:
    server = recorded(max_session_bytes=30_000)
    client = server.stage.open(record=True)
    await client.hears("ltx2_stream_start")
    for number in range(1, 5):
        client.say("segment_prompt_source", prompt=f"prompt {number}")
        await client.hears("ltx2_segment_complete", number)
    await client.hears("recording_status", 2)
    expected = {"type": "recording_status", "state": "ended", "reason": "session_limit"}
    assert client.of("recording_status")[1:] == [expected]
    recording_id = client.of("queue_status")[0]["session_id"]
    about = await server.ended(recording_id)
    assert about["reason"] == "session_limit"
    media = await server.http.get(f"/v1/sessions/{recording_id}/recording.mp4")
    assert 0 < len(played(media.content)) < 32


async def test_a_full_disk_ends_the_recording_and_never_the_stream(
    recorded: Callable[..., Recorded], fakes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = recorded()
    client, recording_id = await server.session("one", stop=False)
    await fakes.until(lambda: server.written_s(recording_id) == 1)

    def full(*arguments: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        client.say("segment_prompt_source", prompt="two")
        await client.hears("recording_status", 2)
    await client.hears("ltx2_segment_complete", 2)
    assert client.of("recording_status")[1]["reason"] == "disk_full"
    assert 'fastvideo_recordings_cut_short_total{reason="disk_full"} 1.0' in (await server.http.get("/metrics")).text
    assert (await server.ended(recording_id))["duration_s"] == 1.0
    assert client.closed is None


async def test_a_disk_that_hangs_ends_the_recording_and_holds_nothing_up(
    recorded: Callable[..., Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_recorder, "MAX_QUEUED_BYTES", 20_000)
    server, go_on, true_pwrite = recorded(), threading.Event(), os.pwrite

    def hang(*arguments: Any) -> int:
        assert go_on.wait(30)
        return true_pwrite(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", hang)
        client = server.stage.open(record=True)
        for number in range(1, 7):
            client.say("segment_prompt_source", prompt=f"prompt {number}")
            await client.hears("ltx2_segment_complete", number)
        assert client.of("recording_status")[1]["reason"] == "disk_too_slow"
        go_on.set()


async def test_a_recording_that_is_removed_while_it_grows_is_gone_and_the_stream_goes_on(
    recorded: Callable[..., Recorded],
    fakes: Any,
) -> None:
    server = recorded()
    client, recording_id = await server.session("one", stop=False)
    await fakes.until(lambda: server.written_s(recording_id) == 1)
    assert (await server.http.delete(f"/v1/sessions/{recording_id}")).status_code == 204
    await client.hears("recording_status", 2)
    assert client.of("recording_status")[1]["reason"] == "deleted"
    client.say("segment_prompt_source", prompt="two")
    await client.hears("ltx2_segment_complete", 2)
    client.say("session_stop")
    await server.stage.over()
    assert [path.name for path in server.folder.iterdir()] == [".lock"]


async def test_a_client_that_leaves_leaves_a_recording_that_plays(
    recorded: Callable[..., Recorded], played: Callable[..., Any]
) -> None:
    server = recorded()
    client, recording_id = await server.session("one", stop=False)
    client.leave()
    await server.stage.over()
    assert (await server.ended(recording_id))["reason"] == "client_left"
    media = await server.http.get(f"/v1/sessions/{recording_id}/recording.mp4")
    assert len(played(media.content)) == 8


async def test_ranges_heads_and_tags_are_those_of_http(recorded: Callable[..., Recorded]) -> None:
    server = recorded()
    _, recording_id = await server.session("one")
    await server.ended(recording_id)
    path = f"/v1/sessions/{recording_id}/recording.mp4"
    whole = await server.http.get(path)
    data, tag = whole.content, whole.headers["etag"]
    assert whole.headers["accept-ranges"] == "bytes"

    async def part(header: str, **headers: str) -> httpx.Response:
        return await server.http.get(path, headers={"range": header, **headers})

    middle = await part("bytes=1000-20000")
    assert (middle.status_code, middle.content) == (206, data[1000:20001])
    assert middle.headers["content-range"] == f"bytes 1000-20000/{len(data)}"
    assert (await part("bytes=-500")).content == data[-500:]
    assert (await part(f"bytes={len(data) - 1}-")).content == data[-1:]
    beyond = await part(f"bytes={len(data)}-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(data)}")
    assert (await part("bytes=0-1,5-6")).content == data
    assert (await part("bytes=0-9", **{"if-range": tag})).status_code == 206
    assert (await part("bytes=0-9", **{"if-range": '"other"'})).content == data
    known = await server.http.get(path, headers={"if-none-match": f'"x", {tag}'})
    assert (known.status_code, known.content) == (304, b"")
    for header in ({}, {"range": "bytes=5-9"}):
        head = await server.http.head(path, headers=header)
        assert head.content == b""
        assert head.headers["content-length"] == ("5" if header else str(len(data)))


@pytest.mark.parametrize("name", ["..", "%2e%2e", "x" * 32, "A" * 32, "0" * 33, ".lock", "%2e%2e%2fkept"])
async def test_no_name_but_an_id_finds_anything(recorded: Callable[..., Recorded], name: str) -> None:
    server = recorded()
    for path in ("recording.mp4", "events", "poster.jpg"):
        assert (await server.http.get(f"/v1/sessions/{name}/{path}")).status_code == 404
    assert (await server.http.delete(f"/v1/sessions/{name}")).status_code == 404


async def test_only_clients_on_this_machine_may_list_and_other_sites_may_not_remove(
    recorded: Callable[..., Recorded],
) -> None:
    server = recorded()
    _, recording_id = await server.session("one")
    await server.ended(recording_id)
    away = httpx.ASGITransport(app=server.stage.app, client=("192.0.2.1", 5000))
    async with httpx.AsyncClient(transport=away, base_url=HERE) as http:
        listing = await http.get("/v1/sessions")
        assert (listing.status_code, listing.json()["error"]["code"]) == (403, "unauthorized")
        # The id is the key.
        assert (await http.get(f"/v1/sessions/{recording_id}")).status_code == 200
    foreign = await server.http.delete(f"/v1/sessions/{recording_id}", headers={"origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert (await server.http.get("/v1/sessions?limit=0")).status_code == 422
    assert (await server.http.get("/v1/sessions?limit=1&after=unknown")).json() == {"sessions": [], "more": False}
    for year, count in ((2000, 0), (2100, 1)):
        elsewhere = {"after": "0" * 32, "after_started_at": f"{year}-01-01T00:00:00.000+00:00"}
        assert len((await server.http.get("/v1/sessions", params=elsewhere)).json()["sessions"]) == count
    assert (await server.http.get("/v1/sessions?after=x&after_started_at=2000-01-01T00:00:00")).status_code == 422


async def test_readers_are_so_many_at_a_time_and_give_their_descriptors_back(
    recorded: Callable[..., Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "MAX_READERS", 1)
    server = recorded()
    _, recording_id = await server.session("one")
    await server.ended(recording_id)
    path = f"/v1/sessions/{recording_id}/recording.mp4"
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        assert (await server.http.get(path, headers={"range": "bytes=0-9"})).status_code == 206
    assert (await server.http.get(path, headers={"range": f"bytes={1 << 40}-"})).status_code == 416
    assert len(os.listdir("/proc/self/fd")) == before

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "http_version": "1.1"}
    reading, left = asyncio.Event(), asyncio.Event()

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        # A client that reads nothing.
        if message["type"] == "http.response.body":
            reading.set()
            await asyncio.Event().wait()

    slow = asyncio.create_task(server.stage.app(scope, receive, send))
    await reading.wait()
    busy = await server.http.get(path)
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "5")
    left.set()
    await slow
    assert (await server.http.get(path)).status_code == 200
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_session_that_loses_its_connection_and_comes_back_is_one_whole_recording(
    recorded: Callable[..., Recorded], fakes: Any, played: Callable[..., Any]
) -> None:
    server = recorded()
    client = server.stage.connect()
    client.breaks_after = 9
    client.say("session_init_v2", record=True)
    for number in range(2):
        client.say("segment_prompt_source", prompt=f"prompt {number}")
    await client.broken.wait()
    again = server.stage.come_back(client)
    await again.hears("ltx2_segment_complete", 2 - len(client.of("ltx2_segment_complete")))
    again.say("session_stop")
    await server.stage.over()
    recording_id = client.of("queue_status")[0]["session_id"]
    about = await server.ended(recording_id)
    assert (about["segments"], about["duration_s"], about["reason"]) == (2, 2.0, "stop_requested")
    media = await server.http.get(f"/v1/sessions/{recording_id}/recording.mp4")
    assert len(played(media.content)) == 16
    seen = [item for item in again.stream if isinstance(item, bytes) and item[4:8] != b"ftyp"]
    assert media.content.endswith(b"".join(seen))


async def test_a_session_that_goes_on_from_what_is_stored_goes_on_with_its_recording(
    recorded: Callable[..., Recorded], fakes: Any, played: Callable[..., Any]
) -> None:
    server = recorded(streaming={"resume": ResumeConfig(grace_seconds=0.01)})
    client, recording_id = await server.session("one", stop=False)
    await fakes.until(lambda: load_record(server.stage.server.session_store, recording_id).segment_idx == 1)
    client.lose()
    await asyncio.wait_for(server.stage.sessions[0], 20)
    assert (await server.ended(recording_id))["reason"] == "client_lost"
    again = server.stage.take_over(client)
    again.say("segment_prompt_source", prompt="two")
    await again.hears("ltx2_segment_complete")
    assert again.of("recording_status") == [{"type": "recording_status", "state": "recording"}]
    again.say("session_stop")
    await fakes.until(lambda: again.closed)
    await fakes.until(lambda: server.recordings.get(recording_id).reason == "stop_requested")
    about = await server.ended(recording_id)
    assert (about["segments"], about["duration_s"], about["prompt"]) == (2, 2.0, "one")
    media = await server.http.get(f"/v1/sessions/{recording_id}/recording.mp4")
    assert len(played(media.content)) == 16
