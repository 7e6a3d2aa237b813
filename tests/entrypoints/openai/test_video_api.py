"""Videos over HTTP: every route, and every error that it has."""

import asyncio
import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from fastvideo.api.access_config import ApiKeyConfig, AuthConfig
from fastvideo.api.errors import ConfigValidationError, GenerationFailed
from fastvideo.api.schema import RequestLimits
from fastvideo.entrypoints.openai import request_body
from fastvideo.entrypoints.streaming.prompt.gate import PromptBlocked


def error_of(answer: Any, status: int) -> dict[str, Any]:
    """The error of an answer in the documented envelope."""
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"].endswith((".", ")"))
    return error


async def test_a_video_is_queued_made_and_downloaded(api, kit) -> None:
    video = await api.create("a red ball", size="96x64", seconds="2", model="any")
    assert video["id"].startswith("video_")
    assert (video["object"], video["status"], video["progress"], video["url"]) == ("video", "queued", 0, None)
    done = await api.ended(video["id"])
    assert (done["status"], done["progress"], done["error"]) == ("completed", 100, None)
    assert (done["model"], done["size"], done["seconds"], done["quality"]) == ("any", "96x64", "2", "standard")
    assert done["completed_at"] >= done["created_at"]
    assert done["expires_at"] == done["completed_at"] + 86_400
    assert done["url"] == f"http://127.0.0.1/v1/videos/{video['id']}/content"
    assert done["file_path"] is None
    assert kit.frames_of(await api.content(video["id"])) == 16
    assert api.files() == [f"{video['id']}.mp4"]


async def test_a_long_video_is_made_segment_by_segment_and_each_goes_on_from_the_last(api, kit) -> None:
    video = await api.made(num_frames=20, seed=7)
    requests = api.generator.requests
    assert [request.sampling.num_frames for request in requests] == [8, 8]
    assert [request.sampling.seed for request in requests] == [7, 8]
    assert [request.state and request.state.payload["segment_index"] for request in requests] == [None, 0]
    assert kit.frames_of(await api.content(video["id"])) == 16
    # Of the 20 that were asked for, within half a group of frames.
    assert video["seconds"] == "2"


async def test_what_the_client_leaves_out_is_up_to_the_operator(api) -> None:
    await api.made()
    (request,) = api.generator.requests
    sampling = request.sampling
    assert (sampling.width, sampling.height, sampling.fps, sampling.num_frames) == (64, 64, 8, 8)
    assert sampling.num_inference_steps == 2
    assert not request.output.save_video


async def test_extra_body_of_the_official_client_is_a_part_of_the_request(api) -> None:
    await api.made(extra_body={"num_frames": 8, "fps": 4}, extra_json={"negative_prompt": "fog", "guidance_scale": 2})
    (request,) = api.generator.requests
    assert (request.sampling.fps, request.negative_prompt, request.sampling.guidance_scale) == (4, "fog", 2.0)


async def test_a_form_says_the_same_as_json(api) -> None:
    form = {"prompt": "from a form", "seconds": "1", "size": "64x96", "seed": "3", "extra_body": '{"fps": 4}'}
    answer = await api.client.post("/v1/videos", files={name: (None, value) for name, value in form.items()})
    assert (await api.ended(answer.json()["id"]))["size"] == "64x96"
    (request,) = api.generator.requests
    sampling = request.sampling
    assert (request.prompt, sampling.height, sampling.seed, sampling.fps) == ("from a form", 96, 3, 4)
    assert sampling.num_frames == 4


async def test_an_uploaded_image_begins_the_video_and_is_removed_when_it_is_done(api, kit) -> None:
    image = kit.png()
    name = "../../../etc/passwd"
    files = {"prompt": (None, "x"), "num_frames": (None, "16"), "input_reference": (name, image, "text/html")}
    answer = await api.client.post("/v1/videos", files=files)
    video = await api.ended(answer.json()["id"])
    assert video["status"] == "completed"
    assert api.generator.images == [image]
    assert [bool(request.inputs.image_path) for request in api.generator.requests] == [True, False]
    assert api.files() == [f"{video['id']}.mp4"]


async def test_an_image_may_come_as_a_data_url(api, kit) -> None:
    url = f"data:image/png;base64,{base64.b64encode(kit.png()).decode()}"
    await api.made(input_reference=url)
    await api.made(input_reference={"image_url": url})
    await api.made(reference_url=url)
    assert api.generator.images == [kit.png()] * 3


async def test_no_path_is_opened_and_nothing_is_fetched_that_a_client_names(api) -> None:
    for field in ("input_reference", "reference_url"):
        for named in ("/etc/passwd", "file:///etc/passwd", "http://127.0.0.1/x.png", "https://a.example/x.png", "../x"):
            error = error_of(await api.client.post("/v1/videos", json={"prompt": "x", field: named}), 400)
            assert (error["code"], error["param"]) == ("image_invalid", "input_reference")
    assert api.files() == []
    assert api.door.jobs.waiting == 0


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"prompt": ""}, "invalid_value", "prompt"),
    ({"prompt": "  "}, "invalid_value", "prompt"),
    ({"prompt": 5}, "invalid_value", "prompt"),
    ({"prompt": "x" * 5000}, "limit_exceeded", "prompt"),
    ({"size": "big"}, "invalid_value", "size"),
    ({"size": "65x64"}, "invalid_value", "size"),
    ({"size": "8x8"}, "limit_exceeded", "size"),
    ({"size": "99999x64"}, "limit_exceeded", "size"),
    ({"seconds": 0}, "invalid_value", "seconds"),
    ({"seconds": "soon"}, "invalid_value", "seconds"),
    ({"seconds": 61}, "limit_exceeded", "seconds"),
    ({"num_frames": 481}, "limit_exceeded", "seconds"),
    ({"num_frames": -1}, "invalid_value", "num_frames"),
    ({"seed": True}, "invalid_value", "seed"),
    ({"seed": 2**63}, "invalid_value", "seed"),
    ({"num_inference_steps": 1000}, "limit_exceeded", "num_inference_steps"),
    ({"guidance_scale_2": 3.0}, "invalid_value", "guidance_scale_2"),
    ({"enable_teacache": True}, "invalid_value", "enable_teacache"),
    ({"output_path": "/tmp/mine.mp4"}, "invalid_value", "output_path"),
    ({"response_format": "jpeg"}, "invalid_value", "response_format"),
    ({"nonsense": 1}, "unknown_parameter", "nonsense"),
    ({"extra_body": 5}, "invalid_value", "extra_body"),
    ({"state": {"kind": "nobody's", "payload": {}}}, "state_invalid", "state"),
    ({"state": {"kind": "ltx2.v1", "payload": {"video": {"blob_id": "stolen"}}}}, "state_invalid", "state"),
]


async def test_what_cannot_be_made_is_refused_before_it_is_queued(api) -> None:
    for path in ("/v1/videos", "/v1/videos/generations"):
        for fields, code, param in REFUSED:
            error = error_of(await api.client.post(path, json={"prompt": "x", **fields}), 400)
            told = (error["type"], error["code"], error["param"])
            assert told == ("invalid_request_error", code, param), fields
    assert api.files() == []
    assert api.listed() == ([], False)


async def test_what_is_beyond_the_operators_limits_is_refused_before_it_is_queued(tmp_path, kit) -> None:
    limits = RequestLimits(
        max_width_px=96, max_pixels=8000, max_fps=30, max_num_inference_steps=4, max_guidance_scale=5
    )
    beyond = [
        ({"size": "128x64"}, "size"), ({"size": "96x96"}, "size"), ({"num_inference_steps": 5}, "num_inference_steps"),
        ({"guidance_scale": 6.0}, "guidance_scale"), ({"fps": 31}, "fps"), ({"seconds": 3}, "seconds"),
    ]  # fmt: skip
    async with kit.running(tmp_path, streaming={"limits": limits}, max_seconds=2.0) as api:
        for fields, param in beyond:
            if param not in ("fps", "seconds"):
                image = await api.client.post("/v1/images", json={"prompt": "x", **fields})
                assert error_of(image, 400)["code"] == "limit_exceeded"
            error = error_of(await api.client.post("/v1/videos", json={"prompt": "x", **fields}), 400)
            assert (error["code"], error["param"]) == ("limit_exceeded", param)
            assert ": expected " in error["message"]
        assert api.listed() == ([], False)
        within = {"size": "96x64", "num_inference_steps": 4, "seconds": 2}
        assert (await api.made(**within))["status"] == "completed"


async def test_a_video_says_the_most_memory_that_its_segments_took_and_nothing_that_was_not_measured(api) -> None:
    api.generator.peaks_mb = [512.04, 900.0, 700.5, 33.0, 44.0]
    assert (await api.made(num_frames=24))["peak_memory_mb"] == 900.0
    image = await api.client.post("/v1/images", json={"prompt": "x", "n": 2})
    assert image.json()["peak_memory_mb"] == 44.0
    answer = await api.client.post("/v1/videos/generations", json={"prompt": "x"})
    assert answer.json()["peak_memory_mb"] is None


async def test_a_missing_prompt_and_bodies_that_cannot_be_read_are_refused(api, monkeypatch) -> None:
    post = api.client.post
    assert error_of(await post("/v1/videos", json={}), 400)["code"] == "missing_parameter"
    as_json, as_form = {"content-type": "application/json"}, {"content-type": "multipart/form-data; boundary=x"}
    for content in (b"", b"[]", b"{", b'{"prompt": NaN}', b"\xff"):
        assert error_of(await post("/v1/videos", content=content, headers=as_json), 400)["code"] == "invalid_json"
    for content in (b"", b"--x", b"--x\r\n\r\nno name\r\n--x--", b"--y--"):
        assert error_of(await post("/v1/videos", content=content, headers=as_form), 400)["code"] == "invalid_form"
    assert error_of(await post("/v1/videos", content=b"x"), 415)["code"] == "unsupported_media_type"
    monkeypatch.setattr(request_body, "MAX_BODY_BYTES", 100)
    assert error_of(await post("/v1/videos", json={"prompt": "x" * 200}), 413)["code"] == "body_too_large"

    async def chunks() -> Any:
        for _ in range(4):
            yield b"x" * 50

    error_of(await post("/v1/videos", content=chunks(), headers=as_json), 413)


async def test_bodies_that_are_slow_or_of_which_too_many_are_large_are_refused(api, monkeypatch, until) -> None:
    as_json, go_on = {"content-type": "application/json"}, asyncio.Event()

    async def never() -> Any:
        yield b"{"
        await go_on.wait()
        yield b"}"

    monkeypatch.setattr(request_body, "MAX_LARGE_BODIES", 1)
    slow = asyncio.create_task(api.client.post("/v1/videos", content=never(), headers=as_json))
    await until(lambda: api.door.bodies._large == 1)
    busy = await api.client.post("/v1/videos", content=never(), headers=as_json)
    assert error_of(busy, 503)["code"] == "busy"
    assert (await api.client.post("/v1/videos", json={"prompt": "small ones pass"})).status_code == 200
    go_on.set()
    error_of(await slow, 400)
    go_on.clear()
    monkeypatch.setattr(request_body, "READ_TIMEOUT_S", 0.01)
    error_of(await api.client.post("/v1/videos", content=never(), headers=as_json), 408)


async def test_metrics_count_jobs(api, until) -> None:
    await api.made()
    api.generator.failures["broken"] = GenerationFailed("x")
    await api.made("broken")
    await until(lambda: api.door.jobs.running == 0)
    told = (await api.client.get("/metrics")).text
    assert 'fastvideo_jobs{state="running"} 0.0' in told
    assert 'fastvideo_jobs{state="waiting"} 0.0' in told
    for status in ("completed", "failed"):
        assert f'fastvideo_jobs_ended_total{{kind="video",status="{status}"}} 1.0' in told


async def test_a_file_that_is_no_image_is_refused_and_leaves_nothing_behind(api) -> None:
    for data in (b"", b"no image", b"\x89PNG\r\n\x1a\n and then nothing", b"\xff\xd8\xff cut"):
        files = {"prompt": (None, "x"), "input_reference": ("a.png", data, "image/png")}
        error = error_of(await api.client.post("/v1/videos", files=files), 400)
        assert (error["code"], error["param"]) == ("image_invalid", "input_reference")
    assert api.files() == []


async def test_a_prompt_that_is_not_let_through_is_refused(api, monkeypatch) -> None:
    def check(*texts: str) -> None:
        if "forbidden" in texts:
            raise PromptBlocked("the safety check does not let this prompt through; say it in other words")

    monkeypatch.setattr(api.door.server.prompts, "check", check)
    error = error_of(await api.client.post("/v1/videos", json={"prompt": "forbidden"}), 400)
    assert (error["code"], error["param"]) == ("prompt_blocked", "prompt")
    assert api.generator.requests == []


async def test_videos_are_listed_in_pages_newest_first_or_oldest_first(api) -> None:
    ids = [(await api.made(f"video {index}"))["id"] for index in range(3)]

    async def page(**query: Any) -> tuple[list[str], bool]:
        answer = (await api.client.get("/v1/videos", params=query)).json()
        found = [video["id"] for video in answer["data"]]
        assert answer["object"] == "list"
        assert [answer["first_id"], answer["last_id"]] == ([found[0], found[-1]] if found else [None, None])
        return found, answer["has_more"]

    assert await page() == (ids[::-1], False)
    assert await page(limit=2) == (ids[:0:-1], True)
    assert await page(limit=2, after=ids[1]) == ([ids[0]], False)
    assert await page(order="asc", limit=1, after=ids[0]) == ([ids[1]], True)
    assert await page(after="video_of_somebody_else") == ([], False)


async def test_a_page_that_cannot_be_is_refused(api) -> None:
    for name, value in (("limit", 0), ("limit", 101), ("limit", "many"), ("order", "random")):
        error = error_of(await api.client.get("/v1/videos", params={name: value}), 400)
        assert (error["param"], error["code"]) == (name, "invalid_value")


async def test_videos_are_listed_for_this_machine_only_unless_the_operator_says_otherwise(tmp_path, kit) -> None:
    async with kit.running(tmp_path, listing="loopback") as api:
        assert (await api.client.get("/v1/videos")).status_code == 200
        foreign = {"host": "example.com"}
        assert error_of(await api.client.get("/v1/videos", headers=foreign), 403)["code"] == "unauthorized"
    async with kit.running(tmp_path / "other", listing="nobody") as api:
        error_of(await api.client.get("/v1/videos"), 403)


async def test_pages_of_other_sites_may_neither_ask_for_nor_remove_anything(api) -> None:
    foreign = {"origin": "https://example.com"}
    video = await api.made()
    for path in ("/v1/videos", "/v1/videos/generations", "/v1/images", "/v1/images/edits"):
        error_of(await api.client.post(path, json={"prompt": "x"}, headers=foreign), 403)
    error_of(await api.client.delete(f"/v1/videos/{video['id']}", headers=foreign), 403)
    assert (await api.video(video["id"]))["status"] == "completed"


async def test_where_keys_are_asked_for_everybody_sees_their_own_videos_only(tmp_path, kit) -> None:
    def named(name: str) -> ApiKeyConfig:
        return ApiKeyConfig(name, hashlib.sha256(f"secret of {name}".encode()).hexdigest())

    def shown(name: str) -> dict[str, str]:
        return {"authorization": f"Bearer secret of {name}", "idempotency-key": "the same"}

    auth = AuthConfig(keys=[named("ann"), named("bob")], admin_keys=[named("operator")])
    async with kit.running(tmp_path, auth=auth, listing="nobody") as api:
        for method, path in (("POST", "/v1/videos"), ("GET", "/v1/videos"), ("POST", "/v1/images")):
            answer = await api.client.request(method, path, json={"prompt": "x"})
            error = error_of(answer, 401)
            assert (error["type"], error["code"]) == ("authentication_error", "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"
            error_of(await api.client.request(method, path, headers={"authorization": "Bearer wrong"}), 401)
        ids = {}
        for name in ("ann", "bob"):
            answer = await api.client.post("/v1/videos", json={"prompt": name}, headers=shown(name))
            ids[name] = answer.json()["id"]
        assert ids["ann"] != ids["bob"]
        path = f"/v1/videos/{ids['ann']}"
        error_of(await api.client.get(path), 401)
        for below in ("", "/events"):
            error_of(await api.client.get(path + below, headers=shown("bob")), 404)
        error_of(await api.client.delete(path, headers=shown("bob")), 404)
        for name, own in (("ann", ["ann"]), ("bob", ["bob"]), ("operator", ["bob", "ann"])):
            listed = (await api.client.get("/v1/videos", headers=shown(name))).json()["data"]
            assert [video["id"] for video in listed] == [ids[one] for one in own]
        job = api.door.jobs.get(ids["ann"], "video")
        await api.door.jobs.outcome(job)
        # Players send no key with what they load: whoever knows the id has it.
        assert await api.content(ids["ann"])
        assert (await api.client.delete(path, headers=shown("ann"))).status_code == 200


async def test_there_is_no_video_of_an_unknown_id_whatever_it_looks_like(api) -> None:
    unknown = "video_" + "0" * 32
    for video_id in (unknown, "nobody", "img_" + "0" * 32, "..%2F..%2Fetc%2Fpasswd", "%00"):
        for path in (f"/v1/videos/{video_id}", f"/v1/videos/{video_id}/content", f"/v1/videos/{video_id}/events"):
            error = error_of(await api.client.get(path), 404)
            assert error["code"] in ("video_not_found", "not_found")
        error_of(await api.client.delete(f"/v1/videos/{video_id}"), 404)


async def test_progress_moves_while_a_video_is_made_and_events_tell_of_it(api) -> None:
    api.generator.hold()
    video = await api.create(num_frames=16)
    told: list[dict[str, Any]] = []

    async def follow() -> None:
        async with asyncio.timeout(30):
            answer = await api.client.get(f"/v1/videos/{video['id']}/events")
        assert answer.headers["content-type"].startswith("text/event-stream")
        for block in answer.text.strip().split("\n\n"):
            head, data = block.split("\n")
            assert head == "event: video"
            told.append(json.loads(data.removeprefix("data: ")))

    follower = asyncio.create_task(follow())
    seen = []
    for _ in range(4):
        await api.step()
        seen.append((await api.video(video["id"]))["progress"])
        api.generator.allow()
    await follower
    assert seen == sorted(seen)
    assert seen[-1] >= 50
    assert told[-1]["status"] == "completed"
    progress = [one["progress"] for one in told]
    assert progress == sorted(progress)
    assert progress[-1] == 100
    assert {"in_progress", "completed"} <= {one["status"] for one in told}


async def test_content_is_given_in_ranges_and_not_again_to_who_has_it(api) -> None:
    video = await api.made()
    path = f"/v1/videos/{video['id']}/content"
    whole = await api.client.get(path)
    assert (whole.headers["content-type"], whole.headers["accept-ranges"]) == ("video/mp4", "bytes")
    size = len(whole.content)
    part = await api.client.get(path, headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{size}"
    assert (await api.client.get(path, headers={"range": "bytes=-5"})).content == whole.content[-5:]
    assert (await api.client.get(path, headers={"range": f"bytes={size}-"})).status_code == 416
    again = await api.client.get(path, headers={"if-none-match": whole.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = await api.client.head(path)
    assert (head.headers["content-length"], head.content) == (str(size), b"")


async def test_a_thumbnail_is_a_picture_of_the_video(api) -> None:
    video = await api.made()
    answer = await api.client.get(f"/v1/videos/{video['id']}/content", params={"variant": "thumbnail"})
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content.startswith(b"\xff\xd8\xff")
    error_of(await api.client.get(f"/v1/videos/{video['id']}/content", params={"variant": "spritesheet"}), 400)


async def test_there_is_no_content_of_a_video_that_is_not_finished_or_failed(api) -> None:
    api.generator.hold()
    api.generator.failures["broken"] = GenerationFailed("/secret/path")
    video = await api.create("broken")
    assert error_of(await api.client.get(f"/v1/videos/{video['id']}/content"), 404)["code"] == "not_ready"
    api.generator.free()
    failed = await api.ended(video["id"])
    assert failed["status"] == "failed"
    assert failed["error"] == {"code": "worker_failed", "message": "The worker could not make this segment."}
    assert failed["progress"] < 100
    error = error_of(await api.client.get(f"/v1/videos/{video['id']}/content"), 500)
    assert "secret" not in json.dumps(error) + json.dumps(failed)
    assert api.files() == []


async def test_what_only_the_generator_knows_to_be_wrong_is_told_as_the_clients_fault(api) -> None:
    api.generator.failures["odd"] = ConfigValidationError("sampling.width", "expected a multiple of 32, got 48")
    failed = await api.made("odd")
    assert failed["error"] == {"code": "invalid_value", "message": "width: expected a multiple of 32, got 48."}
    error = error_of(await api.client.post("/v1/videos/generations", json={"prompt": "odd"}), 400)
    assert error["code"] == "invalid_value"


async def test_deleting_a_running_video_stops_the_worker_and_removes_its_files(api, until) -> None:
    api.generator.hold()
    running, waiting = await api.create("one", num_frames=16), await api.create("two")
    await api.step()
    api.generator.allow()
    await api.step()
    api.generator.allow(8)
    await until(lambda: any(name.endswith(".mp4") for name in api.files()))
    gone = (await api.client.delete(f"/v1/videos/{running['id']}")).json()
    assert (gone["status"], gone["deleted"], gone["id"]) == ("deleted", True, running["id"])
    assert not any(name.startswith(running["id"]) for name in api.files())
    error_of(await api.client.get(f"/v1/videos/{running['id']}"), 404)
    error_of(await api.client.delete(f"/v1/videos/{running['id']}"), 404)
    api.generator.free()
    assert (await api.ended(waiting["id"]))["status"] == "completed"
    assert api.door.server.pool.health().active_sessions == 0


async def test_deleting_cancels_within_one_step(api, until) -> None:
    api.generator.hold()
    video = await api.create("stop me")
    await api.step()
    await api.client.delete(f"/v1/videos/{video['id']}")
    api.generator.allow()
    await until(lambda: api.generator.cancelled == ["stop me"])
    assert len(api.generator.requests) == 1


async def test_a_video_that_waits_can_be_deleted_and_is_never_made(tmp_path, kit) -> None:
    async with kit.running(tmp_path, max_running=1) as api:
        api.generator.hold()
        first, second = await api.create("first"), await api.create("second")
        await api.step()
        await api.client.delete(f"/v1/videos/{second['id']}")
        api.generator.free()
        await api.ended(first["id"])
        assert [request.prompt for request in api.generator.requests] == ["first"]


async def test_one_job_too_many_is_refused_and_told_when_to_come_back(tmp_path, kit) -> None:
    async with kit.running(tmp_path, max_running=1, max_queued=2) as api:
        api.generator.hold()
        await api.create("runs")
        await api.step()
        await api.create("waits")
        await api.create("waits too")
        answer = await api.client.post("/v1/videos", json={"prompt": "one too many"})
        error = error_of(answer, 429)
        assert (error["code"], error["type"]) == ("queue_full", "rate_limit_error")
        assert int(answer.headers["retry-after"]) > 0


async def test_the_synchronous_form_waits_and_gives_an_address_or_the_video_itself(api, kit) -> None:
    answer = (await api.client.post("/v1/videos/generations", json={"prompt": "x", "num_frames": 8})).json()
    assert (answer["object"], answer["model"], answer["size"]) == ("video.generation", "stepped", "64x64")
    assert answer["inference_time_s"] >= 0
    content = (await api.client.get(answer["data"][0]["url"])).content
    body = {"prompt": "x", "num_frames": 8, "response_format": "b64_json"}
    inline = (await api.client.post("/v1/videos/generations", json=body)).json()["data"][0]
    assert inline["url"] is None
    assert base64.b64decode(inline["b64_json"]) == content
    assert kit.frames_of(content) == 8


async def test_a_job_may_be_asked_for_as_base64_too(api) -> None:
    video = await api.made(response_format="b64_json")
    assert base64.b64decode(video["b64_json"]) == await api.content(video["id"])
    listed = (await api.client.get("/v1/videos")).json()["data"][0]
    assert "b64_json" not in listed


async def test_a_client_that_leaves_takes_the_video_along_that_it_waits_for(api, until) -> None:
    api.generator.hold()
    waiting = asyncio.create_task(api.client.post("/v1/videos/generations", json={"prompt": "left"}))
    await api.step()
    (job,) = api.listed()[0]
    left = asyncio.Event()
    # As a server tells of a connection that was closed.
    scope: dict[str, Any] = {
        "type": "http", "method": "POST", "path": "/v1/videos/generations", "raw_path": b"", "root_path": "",
        "query_string": b"", "scheme": "http", "server": ("127.0.0.1", 80), "http_version": "1.1",
        "headers": [(b"content-type", b"application/json"), (b"host", b"127.0.0.1")],
    }  # fmt: skip
    messages = [{"type": "http.request", "body": b'{"prompt": "left too"}', "more_body": False}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        return

    other = asyncio.create_task(api.app(scope, receive, send))
    await until(lambda: len(api.listed()[0]) == 2)
    left.set()
    await asyncio.wait_for(other, 20)
    assert api.listed()[0] == [job]
    api.generator.free()
    assert (await waiting).status_code == 200


async def test_a_state_goes_out_with_one_video_and_comes_in_with_the_next(api) -> None:
    first = await api.made(return_state=True)
    assert first["state"] == {"kind": "ltx2.v1", "payload": {"schema_version": 1, "segment_index": 0}}
    second = await api.made(state=first["state"], output={"return_state": True})
    assert second["state"]["payload"]["segment_index"] == 1
    assert api.generator.requests[-1].state.payload == first["state"]["payload"]
    waited = await api.client.post(
        "/v1/videos/generations", json={"prompt": "x", "state": second["state"], "return_state": True}
    )
    assert waited.json()["state"]["payload"]["segment_index"] == 2
    assert "state" not in await api.made(state=first["state"])


async def test_the_same_idempotency_key_asks_once_and_for_something_else_it_is_a_conflict(api) -> None:
    key = {"idempotency-key": "mine"}
    first = (await api.client.post("/v1/videos", json={"prompt": "x"}, headers=key)).json()
    again = (await api.client.post("/v1/videos", json={"prompt": "x"}, headers=key)).json()
    assert again["id"] == first["id"]
    answer = await api.client.post("/v1/videos", json={"prompt": "y"}, headers=key)
    assert error_of(answer, 409)["code"] == "idempotency_conflict"
    await api.ended(first["id"])
    assert len(api.generator.requests) == 1
    await api.client.delete(f"/v1/videos/{first['id']}")
    assert (await api.client.post("/v1/videos", json={"prompt": "y"}, headers=key)).json()["id"] != first["id"]


async def test_a_server_that_shuts_down_lets_go_of_those_who_wait_and_takes_nothing_more(api, until) -> None:
    api.generator.hold()
    waiting = asyncio.create_task(api.client.post("/v1/videos/generations", json={"prompt": "x"}))
    await api.step()
    (job,) = api.listed()[0]
    events = asyncio.create_task(api.client.get(f"/v1/videos/{job.id}/events"))
    await until(lambda: api.door._readers == 1)
    for leave in api.door.server.leaving:
        leave()
    assert error_of(await waiting, 503)["code"] == "draining"
    assert (await events).status_code == 200
    answer = await api.client.post("/v1/videos", json={"prompt": "late"})
    assert error_of(answer, 503)["code"] == "draining"
    assert int(answer.headers["retry-after"]) > 0


async def test_a_server_whose_model_could_not_be_loaded_says_so(api) -> None:
    api.door.server.start_failure = "no worker could start: /secret/model"
    error = error_of(await api.client.post("/v1/videos", json={"prompt": "x"}), 503)
    assert error["code"] == "model_not_loaded"
    assert "secret" not in error["message"]


async def test_other_methods_and_addresses_are_told_in_the_same_form(api) -> None:
    answer = await api.client.put("/v1/videos")
    assert error_of(answer, 405)["code"] == "method_not_allowed"
    assert answer.headers["allow"]
    error_of(await api.client.get("/v1/videos/a/b/c"), 404)
    assert (await api.client.get("/nowhere")).json() == {"detail": "Not Found"}


async def test_models_are_listed_and_looked_up(api) -> None:
    (card,) = (await api.client.get("/v1/models")).json()["data"]
    assert (card["id"], card["object"], card["owned_by"], card["root"]) == ("stepped", "model", "fastvideo", None)
    assert (await api.client.get("/v1/models/stepped")).json() == card
    error = error_of(await api.client.get("/v1/models/no/such"), 404)
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", "model", "model_not_found")
    assert (await api.client.get("/v1/model_info")).json() == {"model_path": "mock:"}
    assert (await api.client.get("/health")).json() == {"status": "ok"}


async def test_of_a_models_file_only_the_name_is_told(api) -> None:
    api.door.server.serve_config.generator.model_path = "/home/somebody/models/ltx.safetensors"
    assert (await api.client.get("/v1/model_info")).json() == {"model_path": "ltx.safetensors"}


async def test_the_api_is_served_beside_live_streams_and_health_has_their_form(tmp_path: Path, kit: Any) -> None:
    async with kit.running(tmp_path, live=True) as api:
        assert (await api.client.get("/health")).json()["sessions"] == 0
        assert (await api.client.get("/v1/presets")).status_code == 200
        assert (await api.made())["status"] == "completed"
    async with kit.running(tmp_path) as api:
        assert (await api.client.get("/v1/presets")).status_code == 404
        assert (await api.client.get("/readyz")).json()["status"] == "ready"
