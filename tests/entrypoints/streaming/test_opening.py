import asyncio
import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fastvideo.api.presets import InferencePreset, register_preset
from fastvideo.api.session_presets import SessionPreset, SessionToggles
from fastvideo.entrypoints.streaming import opening
from fastvideo.entrypoints.streaming.director import Start, Wait
from fastvideo.entrypoints.streaming.opening import OpeningRefused, discard_image, open_session, parse_opening
from fastvideo.entrypoints.streaming.protocol import SessionResume


def init(**fields: Any) -> str:
    return json.dumps({"type": "session_init_v2", **fields})


def png(width: int = 8, height: int = 8) -> str:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def refused(frame: str | bytes) -> OpeningRefused:
    with pytest.raises(OpeningRefused) as caught:
        parse_opening(frame)
    return caught.value


async def refused_session(fakes, **fields: Any) -> OpeningRefused:
    with pytest.raises(OpeningRefused) as caught:
        await open_session(parse_opening(init(**fields)), fakes.config(), {})
    return caught.value


@pytest.mark.parametrize(
    ("frame", "close_reason"),
    [
        (b"\x00\x01", "invalid_init"),
        ("{", "invalid_init"),
        ("[]", "invalid_init"),
        ("{}", "invalid_init"),
        (json.dumps({"type": "nonsense"}), "invalid_init"),
        (init(curated_prompts="no list"), "invalid_init"),
        (init(loop_generation_enabled="yes"), "invalid_init"),
        (init(stream_mode="legacy_jpeg"), "invalid_init"),
        ("[" * 100_000, "invalid_init"),
        (json.dumps({"type": "snapshot_state"}), "expected_session_init_v2"),
        (json.dumps({"type": "segment_prompt_source", "prompt": "x"}), "expected_session_init_v2"),
    ],
)
def test_a_first_message_of_the_wrong_kind_is_refused_with_a_reason(frame: str | bytes, close_reason: str) -> None:
    refusal = refused(frame)
    assert refusal.message.code == "invalid_message"
    assert not refusal.message.retryable
    assert refusal.message.message
    assert refusal.close_reason == close_reason


def test_a_connection_may_open_with_a_session_to_resume() -> None:
    message = parse_opening(json.dumps({"type": "session_resume", "resume_token": "t", "last_sequence": 4}))
    assert message == SessionResume(resume_token="t", last_sequence=4, frames_after=0)


async def test_a_plain_opening_starts_with_the_operators_values(fakes) -> None:
    opened = await open_session(parse_opening(init()), fakes.config(), {})
    assert (opened.requests.sampling.width, opened.requests.sampling.num_frames) == (64, 8)
    assert opened.state is None
    assert opened.image is None
    assert opened.director.decide(0.0) == Wait()


async def test_an_unknown_preset_is_a_mismatch(fakes) -> None:
    refusal = await refused_session(fakes, preset="nobody_has_this")
    assert refusal.message.code == "preset_mismatch"
    assert "nobody_has_this" in refusal.message.message


async def test_an_inference_preset_fills_in_what_the_operator_left_open(fakes) -> None:
    preset = InferencePreset("test_opening", 1, "ltx2", defaults={"guidance_scale": 4.5, "width": 640})
    register_preset(preset)
    opened = await open_session(parse_opening(init(preset="test_opening")), fakes.config(), {})
    assert (opened.requests.sampling.guidance_scale, opened.requests.sampling.width) == (4.5, 64)


async def test_the_models_own_values_lie_below_the_chosen_preset(fakes) -> None:
    model = {"guidance_scale": 1.5, "guidance_rescale": 0.25, "width": 1024}
    opened = await open_session(parse_opening(init(preset="story")), fakes.config(), {"story": STORY}, model)
    sampling = opened.requests.sampling
    assert (sampling.guidance_scale, sampling.guidance_rescale, sampling.width) == (2.5, 0.25, 64)


STORY = SessionPreset(
    "story",
    "A story",
    prompts=["one", "two"],
    sampling={"guidance_scale": 2.5},
    toggles=SessionToggles(loop_generation=True),
)


async def test_a_session_preset_brings_its_prompts_sampling_and_toggles(fakes) -> None:
    opened = await open_session(parse_opening(init(preset="story")), fakes.config(), {"story": STORY})
    assert opened.requests.sampling.guidance_scale == 2.5
    start = opened.director.decide(0.0)
    assert isinstance(start, Start)
    assert (start.prompt.text, start.prompt.source) == ("one", "curated")


async def test_what_the_client_says_wins_over_its_preset(fakes) -> None:
    fields = {"preset": "story", "curated_prompts": ["mine"], "loop_generation_enabled": False}
    opened = await open_session(parse_opening(init(**fields)), fakes.config(), {"story": STORY})
    assert opened.director.decide(0.0) == Wait()
    opened.director.set_loop(True)
    start = opened.director.decide(0.0)
    assert isinstance(start, Start)
    assert start.prompt.text == "mine"


async def test_a_client_may_take_a_presets_look_without_its_story(fakes) -> None:
    opened = await open_session(
        parse_opening(init(preset="story", curated_prompts=[])), fakes.config(), {"story": STORY}
    )
    assert opened.requests.sampling.guidance_scale == 2.5
    opened.director.set_loop(True)
    assert opened.director.decide(0.0) == Wait(blocked="no_prompt")


async def test_curated_prompts_have_limits(fakes) -> None:
    refusal = await refused_session(fakes, curated_prompts=["x"] * 65)
    assert (refusal.message.code, refusal.message.reason) == ("invalid_message", "limit_exceeded")
    assert "curated_prompts" in refusal.message.message
    refusal = await refused_session(fakes, curated_prompts=["x", "x" * 5000])
    assert "curated_prompts[1]" in refusal.message.message


@pytest.mark.parametrize(
    "state",
    [
        {"kind": "nobody.v1", "payload": {}},
        {"kind": "ltx2.v1", "payload": {"schema_version": 2}},
        {"kind": "ltx2.v1", "payload": {"segment_index": "three"}},
        {"kind": "ltx2.v1", "payload": {"audio": {"blob_id": "stolen"}}},
    ],
)
async def test_a_state_that_cannot_be_used_is_refused(fakes, state: Any) -> None:
    refusal = await refused_session(fakes, continuation_state=state)
    assert (refusal.message.code, refusal.message.reason) == ("invalid_message", "state_invalid")


def test_a_state_of_the_wrong_shape_says_that_it_is_the_state() -> None:
    assert refused(init(continuation_state={"kind": 3})).message.reason == "state_invalid"


@pytest.mark.parametrize(
    "image",
    [
        {"mime": "image/png", "data": base64.b64encode(b"no picture").decode()},
        {"mime": "image/tiff", "data": png()},
        {"mime": "image/jpeg", "data": png()},
        {"mime": "image/png", "data": "***"},
        {"mime": "image/png"},
    ],
)
async def test_an_image_that_is_none_is_refused_and_leaves_no_file(fakes, image, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    refusal = await refused_session(fakes, initial_image=image)
    assert (refusal.message.code, refusal.message.reason) == ("invalid_message", "image_invalid")
    assert os.listdir(tmp_path) == []


async def test_an_image_is_kept_until_it_is_discarded(fakes) -> None:
    message = parse_opening(init(initial_image={"mime": "image/png", "data": png(), "name": "a.png"}))
    opened = await open_session(message, fakes.config(), {})
    assert opened.image is not None
    assert await asyncio.to_thread(Path(opened.image.path).is_file)
    discard_image(opened.image)
    discard_image(opened.image)
    assert not os.path.exists(opened.image.path)  # noqa: ASYNC240


async def test_an_image_does_not_compete_with_a_state(fakes) -> None:
    state = {"kind": "ltx2.v1", "payload": {"segment_index": 3}}
    refusal = await refused_session(fakes, continuation_state=state, initial_image={"mime": "image/png", "data": png()})
    assert refusal.message.reason == "image_invalid"


async def test_a_client_that_leaves_while_its_image_is_written_leaves_no_file(fakes, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    import threading

    written, go_on = threading.Event(), threading.Event()
    persist = opening.persist_session_init_image

    def slow(payload: Any) -> Any:
        image = persist(payload)
        written.set()
        go_on.wait(10)
        return image

    monkeypatch.setattr(opening, "persist_session_init_image", slow)
    message = parse_opening(init(initial_image={"mime": "image/png", "data": png()}))
    opening_task = asyncio.create_task(open_session(message, fakes.config(), {}))
    await asyncio.to_thread(written.wait)
    opening_task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening_task
    assert len(os.listdir(tmp_path)) == 1
    go_on.set()
    await fakes.until(lambda: os.listdir(tmp_path) == [])
