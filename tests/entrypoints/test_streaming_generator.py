"""A story made step by step, and the file that grows with it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.results import VideoFinalEvent, VideoPartialEvent
from fastvideo.api.schema import GenerationRequest, GeneratorConfig, OutputConfig, SamplingConfig
from fastvideo.entrypoints.streaming_generator import StreamingVideoGenerator

SMALL = {"height": 64, "width": 64, "num_frames": 17, "num_inference_steps": 1, "seed": 1}

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def generator(cache: None) -> Iterator[StreamingVideoGenerator]:
    built = StreamingVideoGenerator.from_config(GeneratorConfig(model_path="tiny:?seed=0"))
    assert isinstance(built, StreamingVideoGenerator)
    with built:
        yield built


def frames_in(path: Path | str) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_steps_are_the_segments_of_one_story(generator: StreamingVideoGenerator, tmp_path: Path) -> None:
    generator.reset("a fox", **SMALL, output_path=tmp_path / "story.mp4", block_dir=tmp_path / "blocks")
    assert generator.writer is not None
    assert generator.writer.path == tmp_path / "story.mp4"
    (first, written), (second, _) = generator.step(), generator.step("an owl")
    assert written is not None
    assert written.result(60) == tmp_path / "blocks" / "b0.mp4"
    assert (len(first), len(second), generator.block_idx) == (17, 8, 2)
    assert generator.finalize() == str(tmp_path / "story.mp4")
    assert frames_in(tmp_path / "story.mp4") == 25
    assert [frames_in(tmp_path / "blocks" / f"b{index}.mp4") for index in range(2)] == [17, 8]
    assert generator.writer is None

    # The same as by hand.
    state, expected = None, []
    for prompt in ("a fox", "an owl"):
        request = GenerationRequest(
            prompt=prompt,
            sampling=SamplingConfig(**SMALL),  # type: ignore[arg-type]
            output=OutputConfig(save_video=False, return_state=True),
            state=state,
        )
        for event in generator.stream(request):
            if isinstance(event, VideoPartialEvent):
                expected.append(event.frames)
            elif isinstance(event, VideoFinalEvent):
                state = event.continuation_state
    assert np.array_equal(np.concatenate([first, second]), np.concatenate(expected))


def test_a_place_can_be_named_at_the_end(generator: StreamingVideoGenerator, tmp_path: Path) -> None:
    generator.reset("a fox", **SMALL)
    assert generator.writer is not None
    draft = generator.writer.path
    generator.step()
    (tmp_path / "taken.mp4").touch()
    with pytest.raises(FileExistsError, match="name another file"):
        generator.finalize(tmp_path / "taken.mp4")
    generator.step()
    path = generator.finalize(tmp_path / "new" / "story.mp4")
    assert path == str(tmp_path / "new" / "story.mp4")
    assert frames_in(path) == 25
    assert not draft.parent.exists()
    assert generator.finalize() == ""


def test_what_was_not_finalized_is_dropped_by_the_next_story(generator: StreamingVideoGenerator) -> None:
    generator.reset("a fox", **SMALL)
    assert generator.writer is not None
    draft = generator.writer.path
    generator.step()
    generator.reset("an owl", **SMALL)
    assert not draft.parent.exists()
    assert generator.block_idx == 0
    assert generator.finalize() == ""


def test_an_image_is_the_first_frame_of_the_first_segment(generator: StreamingVideoGenerator, tmp_path: Path) -> None:
    image = tmp_path / "red.png"
    Image.new("RGB", (64, 64), (200, 30, 30)).save(image)
    plain: list[Any] = []
    for path in (None, str(image)):
        generator.reset("a fox", path, **SMALL)
        plain.append(generator.step()[0])
        assert len(generator.step()[0]) == 8
        generator.finalize(tmp_path / f"{path is None}.mp4")
    assert not np.array_equal(plain[0], plain[1])


def test_before_a_story_there_is_nothing_to_go_on_with(generator: StreamingVideoGenerator, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="call reset first"):
        generator.step()
    with pytest.raises(TypeError, match="fields of SamplingConfig, not keyboard_cond"):
        generator.reset("a fox", keyboard_cond=1)
    with pytest.raises(ConfigValidationError, match="multiple of 32"):
        generator.reset("a fox", **(SMALL | {"height": 65}))
        generator.step()
    generator.finalize()


async def test_a_step_off_the_loop_can_be_cancelled_and_made_again(
    generator: StreamingVideoGenerator, tmp_path: Path
) -> None:
    generator.reset("a fox", **(SMALL | {"num_inference_steps": 8, "num_frames": 41}))
    step = asyncio.create_task(generator.step_async())
    # It begins.
    await asyncio.sleep(0)
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    assert generator.block_idx == 0
    frames, written = await generator.step_async()
    assert len(frames) == 41
    assert written is not None
    await asyncio.wrap_future(written)
    assert frames_in(generator.finalize(tmp_path / "story.mp4")) == 41


def test_steps_of_two_threads_follow_one_another(generator: StreamingVideoGenerator, tmp_path: Path) -> None:
    generator.reset("a fox", **SMALL)
    made: list[int] = []
    threads = [threading.Thread(target=lambda: made.append(len(generator.step()[0]))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert made == [17, 8]
    assert frames_in(generator.finalize(tmp_path / "story.mp4")) == 25


def test_shutdown_ends_a_named_file_and_drops_the_others(cache: None, tmp_path: Path) -> None:
    built = StreamingVideoGenerator(GeneratorConfig(model_path="tiny:?seed=0"))
    built.reset("a fox", **SMALL, output_path=tmp_path / "story.mp4")
    built.step()
    built.shutdown()
    built.shutdown()
    assert frames_in(tmp_path / "story.mp4") == 17
    with pytest.raises(RuntimeError):
        built.step()
