"""Results in S3-compatible storage."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from fastvideo.api.errors import ConfigValidationError
from fastvideo.entrypoints.openai.job import new_job_id
from fastvideo.entrypoints.openai.result_objects import ResultObjects
from fastvideo.entrypoints.openai.results import check_results_url
from fastvideo.entrypoints.streaming.s3_blobs import open_bucket
from fastvideo.entrypoints.streaming.store_errors import StoreUnavailable


async def test_a_finished_video_lies_in_the_bucket_alone_and_is_served_in_ranges_and_deleted(
    tmp_path: Path, kit: Any, s3_server: Any
) -> None:
    async with kit.running(tmp_path, results=f"s3://{s3_server.bucket}/made/here") as api:
        video = await api.made(num_frames=16)
        key = f"made/here/{video['id']}/{video['id']}.mp4"
        assert list(s3_server.objects) == [key]
        assert s3_server.objects[key][1] == "video/mp4"
        assert api.files() == []
        path = f"/v1/videos/{video['id']}/content"
        whole = (await api.client.get(path)).content
        assert whole == s3_server.objects[key][0]
        assert kit.frames_of(whole) == 16
        part = await api.client.get(path, headers={"range": "bytes=100-1099"})
        assert (part.status_code, part.content) == (206, whole[100:1100])
        assert s3_server.ranges[-1] == (100, 1000)
        thumbnail = await api.client.get(path, params={"variant": "thumbnail"})
        assert thumbnail.content[:2] == b"\xff\xd8"
        assert (await api.client.delete(f"/v1/videos/{video['id']}")).status_code == 200
        assert s3_server.objects == {}
        assert (await api.client.get(path)).status_code == 404


async def test_states_and_images_come_from_the_bucket_too(tmp_path: Path, kit: Any, s3_server: Any) -> None:
    async with kit.running(tmp_path, results=f"s3://{s3_server.bucket}") as api:
        video = await api.made(return_state=True)
        assert video["state"]["payload"]["segment_index"] == 0
        body = {"prompt": "x", "n": 2, "response_format": "b64_json", "output_format": "png"}
        answer = (await api.client.post("/v1/images", json=body)).json()
        images = [base64.b64decode(one["b64_json"]) for one in answer["data"]]
        stored = [s3_server.objects[f"{answer['id']}/{answer['id']}-{index}.png"] for index in range(2)]
        assert [(data, mime) for data, mime, _ in stored] == [(image, "image/png") for image in images]
        assert api.files() == []


async def test_another_server_that_takes_the_jobs_over_finds_their_results(
    tmp_path: Path, kit: Any, s3_server: Any, redis_server: Any
) -> None:
    settings = {"results": f"s3://{s3_server.bucket}/a", "jobs": f"{redis_server.url}?prefix=results"}
    async with kit.running(tmp_path / "one", **settings) as api:
        video = await api.made(return_state=True)
        whole = await api.content(video["id"])
    async with kit.running(tmp_path / "other", **settings) as api:
        assert await api.content(video["id"]) == whole
        assert (await api.video(video["id"]))["state"] == video["state"]


async def test_what_ended_is_removed_from_the_bucket_when_there_is_too_much(
    tmp_path: Path, kit: Any, s3_server: Any, until: Any
) -> None:
    async with kit.running(tmp_path, results=f"s3://{s3_server.bucket}", max_kept=1) as api:
        await api.made()
        video = await api.made()
        await until(lambda: list(s3_server.objects) == [f"{video['id']}/{video['id']}.mp4"])


async def test_storage_that_refuses_fails_the_job_and_not_the_server(tmp_path: Path, kit: Any, s3_server: Any) -> None:
    async with kit.running(tmp_path, results=f"s3://{s3_server.bucket}") as api:
        s3_server.broken = True
        failed = await api.made()
        assert failed["error"] == {"code": "storage_failed", "message": "The server could not keep the result."}
        assert api.files() == []
        s3_server.broken = False
        video = await api.made()
        s3_server.broken = True
        answer = await api.client.get(f"/v1/videos/{video['id']}/content")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "storage_unavailable")


async def test_a_server_does_not_start_without_its_bucket(tmp_path: Path, kit: Any, s3_server: Any) -> None:
    s3_server.broken = True
    with pytest.raises(StoreUnavailable, match="check AWS_ENDPOINT and the keys"):
        async with kit.running(tmp_path, results=f"s3://{s3_server.bucket}"):
            pass


def test_large_files_go_in_parts_and_are_read_in_few_pieces(tmp_path: Path, s3_server: Any) -> None:
    data = bytes(range(256)) * (24 << 10)
    job_id = new_job_id("video")
    path = tmp_path / f"{job_id}.mp4"
    path.write_bytes(data)
    results = ResultObjects(open_bucket(s3_server.bucket, ""), ttl_s=60)
    results.put(job_id, path)
    file = results.open(job_id, path.name)
    assert file is not None
    assert file.size == len(data)
    read = bytearray()
    while chunk := file.read(len(read), 256 << 10):
        read += chunk
    assert read == data
    assert 1 < len(s3_server.ranges) < 8
    file.close()
    assert file.read(5, 3) == data[5:8]
    s3_server.objects.clear()
    with pytest.raises(StoreUnavailable):
        file.read(0, 3)
    assert results.open(job_id, path.name) is None


def test_only_what_is_ours_unknown_and_past_its_time_is_swept(tmp_path: Path, s3_server: Any) -> None:
    now_s = s3_server.clock()
    s3_server.clock = lambda: now_s
    results = ResultObjects(open_bucket(s3_server.bucket, ""), ttl_s=60, clock=lambda: now_s)
    known, unknown = new_job_id("video"), new_job_id("image")
    for job_id in (known, unknown):
        path = tmp_path / f"{job_id}.png"
        path.write_bytes(b"x")
        results.put(job_id, path)
    s3_server.objects["index.html"] = (b"x", "text/html", 0.0)
    results.sweep([known])
    assert len(s3_server.objects) == 3
    now_s += 61
    results.sweep([known])
    assert sorted(s3_server.objects) == ["index.html", f"{known}/{known}.png"]


@pytest.mark.parametrize("url", ["s3:", "s3:///prefix", "s3://key:secret@bucket/prefix", "s3://bucket/x?a=b"])
def test_a_bucket_needs_a_name_and_takes_no_keys(url: str) -> None:
    with pytest.raises(ConfigValidationError, match=r"openai\.results: expected") as caught:
        check_results_url(url)
    assert "secret" not in str(caught.value)
