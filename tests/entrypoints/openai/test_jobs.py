"""The queue of jobs: its turns, its bounds, and what a restart finds."""

import asyncio
import shutil
from typing import Any

import pytest

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.schema import OpenAIConfig
from fastvideo.entrypoints.openai.job import Job, JobRecord, decode_job, encode_job, is_job_id, new_job_id
from fastvideo.entrypoints.openai.jobs import excess
from fastvideo.entrypoints.openai.results import Results, check_results_url
from fastvideo.entrypoints.openai.stores import AsyncDictStore
from fastvideo.entrypoints.streaming.segment_events import SegmentDone, SegmentJob
from fastvideo.entrypoints.streaming.store_errors import StoreFull, StoreUnavailable
from fastvideo.media.timeline import MediaCursor


def record(**fields: Any) -> JobRecord:
    return JobRecord(**{"id": new_job_id("video"), "kind": "video", "created_ns": 1, "fields": {}, **fields})


async def watch(api: Any, name: str, segments: int) -> None:
    """What a live session does with a pool."""
    pool = api.door.server.pool
    await pool.acquire(name)
    cursor = MediaCursor.start()
    for index in range(segments):
        request = api.door.requests.video({"prompt": name, "num_frames": 8}).segment(index, 0, None, None)
        async for event in pool.stream(name, SegmentJob(request, cursor, index, "libx264")):
            if isinstance(event, SegmentDone):
                cursor = event.cursor
    await pool.release(name)


async def test_jobs_and_a_viewer_take_turns_segment_by_segment(tmp_path, kit, until) -> None:
    async with kit.running(tmp_path, live=True, streaming={"pool": kit.Pool(sessions_per_worker=1)}) as api:
        generator, pool = api.generator, api.door.server.pool
        generator.hold()
        ids = [(await api.create(name, num_frames=32))["id"] for name in ("one", "two")]
        viewer = asyncio.create_task(watch(api, "viewer", 4))
        for done in range(12):
            # Once everybody has asked again who has something left to ask for, the next turn is given.
            await until(lambda: len(generator.requests) == done + 1 and pool.turns_waiting == min(2, 11 - done))  # noqa: B023
            generator.allow(2)
        await viewer
        for video_id in ids:
            assert (await api.ended(video_id))["status"] == "completed"
        turns = [request.prompt for request in generator.requests]
        assert set(turns[:3]) == {"one", "two", "viewer"}
        assert turns == turns[:3] * 4


async def test_jobs_begin_in_the_order_in_which_they_came_and_so_many_at_a_time(tmp_path, kit) -> None:
    async with kit.running(tmp_path, max_running=2) as api:
        api.generator.hold()
        ids = [(await api.create(f"{index}"))["id"] for index in range(6)]
        await api.step()
        assert (api.door.jobs.running, api.door.jobs.waiting) == (2, 4)
        api.generator.free()
        for video_id in ids:
            assert (await api.ended(video_id))["status"] == "completed"
        assert [request.prompt for request in api.generator.requests] == [f"{index}" for index in range(6)]


async def test_thirty_jobs_and_two_viewers_on_one_worker_all_come_to_their_end(tmp_path, kit, until) -> None:
    async with kit.running(tmp_path, live=True, max_queued=30) as api:
        api.generator.hold()
        videos = [await api.create(f"job {index}") for index in range(30)]
        viewers = [asyncio.create_task(watch(api, name, 3)) for name in ("viewer 1", "viewer 2")]
        await until(lambda: api.door.server.pool.turns_waiting == 3)
        api.generator.free()
        await asyncio.gather(*viewers)
        # They waited for turns, and not for the end of the jobs that were there before them.
        turns = [request.prompt for request in api.generator.requests]
        assert len(turns) < 30, turns
        for video in videos:
            assert (await api.ended(video["id"]))["status"] == "completed"


@pytest.mark.parametrize("store", ["files", "redis"])
async def test_jobs_that_waited_or_ran_are_there_after_a_restart_and_end(tmp_path, kit, request, store) -> None:
    settings: dict[str, Any] = {"max_running": 1}
    if store == "redis":
        settings["jobs"] = f"{request.getfixturevalue('redis_server').url}?prefix=restart"
    generator = kit.Generator()
    async with kit.running(tmp_path, generator, **settings) as api:
        done = await api.made("done")
        for _ in range(2):
            await api.step()
        generator.hold()
        long = (await api.create("long", num_frames=24, seed=5))["id"]
        waits = (await api.create("waits"))["id"]
        await api.step()
        waited = asyncio.create_task(api.client.post("/v1/videos/generations", json={"prompt": "on a connection"}))
        generator.allow(3)
        # Its first segment is whole, and the second one is being made.
        for _ in range(3):
            await api.step()
        for leave in api.door.server.leaving:
            leave()
        assert (await waited).status_code == 503
        await api.door.close()
    async with kit.running(tmp_path, **settings) as api:
        assert (await api.video(done["id"]))["status"] == "completed"
        assert await api.content(done["id"])
        assert (await api.ended(long))["status"] == "completed"
        assert (await api.ended(waits))["status"] == "completed"
        made = [(one.prompt, one.sampling.seed) for one in api.generator.requests]
        assert made == [("long", 6), ("long", 7), ("waits", 1024)]
        assert kit.frames_of(await api.content(long)) == 24
        failed = [job.record for job in api.listed()[0] if job.record.status == "failed"]
        assert [(one.fields["prompt"], one.error.code) for one in failed] == [("on a connection", "server_restarted")]


async def test_a_job_whose_server_lost_its_lease_is_made_once_by_the_other_and_never_twice(
    tmp_path, kit, until, redis_server
) -> None:
    settings = {"jobs": f"{redis_server.url}?prefix=lease", "max_running": 1}
    async with kit.running(tmp_path / "one", **settings) as one:
        one.generator.hold()
        video_id = (await one.create("runs", num_frames=24))["id"]
        waits = (await one.create("waits"))["id"]
        await one.step()
        async with kit.running(tmp_path / "other", **settings) as other:
            assert (await other.ended(video_id))["status"] == "completed"
            assert (await other.ended(waits))["status"] == "completed"
            assert [request.prompt for request in other.generator.requests] == ["runs"] * 3 + ["waits"]
            # What its first server still makes of it ends when it is to be stored, and changes nothing.
            one.generator.free()
            await until(lambda: one.listed() == ([], False))
            await until(lambda: one.door.jobs.running == 0)
            assert [request.prompt for request in one.generator.requests] == ["runs"]
            assert (await other.video(video_id))["status"] == "completed"
            assert kit.frames_of(await other.content(video_id)) == 24
    async with kit.running(tmp_path / "other", **settings) as again:
        assert [(await again.video(one_id))["status"] for one_id in (video_id, waits)] == ["completed"] * 2
        assert again.generator.requests == []


async def test_a_video_whose_file_was_lost_is_made_anew_after_a_restart(tmp_path, kit) -> None:
    generator = kit.Generator()
    async with kit.running(tmp_path, generator) as api:
        generator.hold()
        video_id = (await api.create("x", num_frames=24))["id"]
        generator.allow(3)
        for _ in range(4):
            await api.step()
        path = api.folder / f"{video_id}.mp4"
        await api.door.close()
    path.write_bytes(b"damaged")
    async with kit.running(tmp_path) as api:
        assert (await api.ended(video_id))["status"] == "completed"
        assert len(api.generator.requests) == 3
        assert kit.frames_of(await api.content(video_id)) == 24


async def test_jobs_in_memory_end_with_their_server_and_their_files_go(tmp_path, kit) -> None:
    async with kit.running(tmp_path, jobs="memory:") as api:
        video = await api.made()
        assert api.files()
    async with kit.running(tmp_path, jobs="memory:") as api:
        assert (await api.client.get(f"/v1/videos/{video['id']}")).status_code == 404
        assert api.files() == []


async def test_another_server_cannot_use_the_same_folder(tmp_path, kit) -> None:
    async with kit.running(tmp_path) as api:
        with pytest.raises(ConfigValidationError, match=r"openai\.results.*no other server"):
            Results(api.folder)


async def test_a_job_that_cannot_be_stored_is_not_taken(api, monkeypatch) -> None:
    for error in (StoreUnavailable("the disk of /secret"), StoreFull("full")):

        async def save(record: Any, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(api.door.jobs._store, "save", save)
        answer = await api.client.post("/v1/videos", json={"prompt": "x"})
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "storage_unavailable"
        assert "secret" not in answer.text
    assert api.listed() == ([], False)
    assert api.files() == []


async def test_a_full_disk_fails_the_job_and_not_the_server(api, monkeypatch) -> None:
    def write(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(api.door.results, "write", write)
        video = await api.made()
    assert video["error"] == {"code": "storage_failed", "message": "The server could not keep the result."}
    assert api.files() == []
    assert (await api.made())["status"] == "completed"


async def test_what_ended_is_removed_when_there_is_too_much(tmp_path, kit, until) -> None:
    async with kit.running(tmp_path, max_kept=2, max_running=1) as api:
        ids = [(await api.made(f"{index}"))["id"] for index in range(4)]
        await until(lambda: len(api.files()) == 2)
        assert [job.id for job in api.listed()[0][::-1]] == ids[2:]
        assert api.files() == sorted(f"{video_id}.mp4" for video_id in ids[2:])


def test_the_oldest_go_first() -> None:
    async def found(config: OpenAIConfig, now_s: float = 100.0) -> list[int]:
        ended = [record(status="completed", completed_at=at, output_bytes=10) for at in (30, 10, 20)]
        gone = excess([Job(one) for one in ended], config, now_s=now_s)
        return [job.record.completed_at or 0 for job in gone]

    assert asyncio.run(found(OpenAIConfig())) == []
    assert asyncio.run(found(OpenAIConfig(max_kept=1))) == [10, 20]
    assert asyncio.run(found(OpenAIConfig(max_bytes=20))) == [10]
    assert asyncio.run(found(OpenAIConfig(keep_seconds=80))) == [10, 20]
    assert asyncio.run(found(OpenAIConfig(), now_s=1e9)) == [10, 20, 30]


def test_a_record_comes_back_as_it_was_stored_and_another_one_is_refused() -> None:
    whole = record(cursor=MediaCursor.start().to_dict(), outputs=["a.mp4"], image="x.input")
    assert decode_job(encode_job(whole)) == whole
    state = encode_job(whole)
    state.payload["status"] = "dreaming"
    with pytest.raises(ValueError, match="another"):
        decode_job(state)


def test_nothing_but_an_id_becomes_a_part_of_a_path(tmp_path) -> None:
    results = Results(tmp_path / "results")
    for job_id in ("", "..", "../x", "video_" + "G" * 32, "video_" + "0" * 31, "video_" + "0" * 32 + "/x", "x" * 38):
        assert not is_job_id(job_id)
        with pytest.raises(ValueError, match="id of a job"):
            results.path(job_id, ".mp4")
    (tmp_path / "secret.mp4").write_text("secret")
    (tmp_path / "results" / f"{new_job_id('video')}.mp4").symlink_to(tmp_path / "secret.mp4")
    assert results.open("../secret.mp4") is None
    (link,) = [path.name for path in (tmp_path / "results").glob("*.mp4")]
    with pytest.raises(OSError, match="link"):
        results.open(link)
    results.close()
    shutil.rmtree(tmp_path / "results")


@pytest.mark.parametrize("url", ["http://x/y", "file://elsewhere/x", "folder", "file:/x?y=1"])
def test_results_lie_in_a_folder_of_this_machine_or_in_a_bucket(url: str) -> None:
    with pytest.raises(ConfigValidationError, match=r"openai\.results: expected file:/folder .* or s3://bucket/prefix"):
        check_results_url(url)


async def test_the_documented_store_keeps_copies_by_key() -> None:
    store = AsyncDictStore()
    value = {"status": "queued"}
    await store.upsert("a", value)
    value["status"] = "changed outside"
    assert await store.get("a") == {"status": "queued"}
    assert await store.update_fields("a", {"progress": 5}) == {"status": "queued", "progress": 5}
    assert await store.update_fields("b", {}) is None
    assert await store.list_values() == [{"status": "queued", "progress": 5}]
    assert await store.pop("a") == {"status": "queued", "progress": 5}
    assert await store.get("a") is None
    assert await store.pop("a") is None
