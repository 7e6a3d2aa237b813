from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fastvideo.api.errors import ConfigValidationError, ImageInvalid
from fastvideo.api.schema import InputConfig, ReferenceConfig
from fastvideo.media.mp4_file import encode_mp4
from fastvideo.pipelines.basic.ltx2.references import Reference, read_references
from fastvideo.pipelines.basic.ltx2.segment_plan import SegmentPlan

PLAN = SegmentPlan.make(33, 24)
GREY = np.full((1, 40, 60, 3), 128, np.uint8)


def read(plan: SegmentPlan = PLAN, **inputs: Any) -> tuple[Reference, ...]:
    return read_references(InputConfig(**inputs), plan)


def an_image(folder: Path, colour: tuple[int, int, int]) -> str:
    file = folder / f"{colour[0]}.png"
    Image.new("RGB", (40, 20), colour).save(file)
    return str(file)


def a_video(folder: Path, frames: int) -> str:
    pictures = np.stack([np.full((32, 48, 3), 10 * index, np.uint8) for index in range(frames)])
    file = folder / "clip.mp4"
    file.write_bytes(encode_mp4(pictures, None, None, 24))
    return str(file)


def test_without_inputs_there_is_nothing_to_show() -> None:
    assert read() == ()


def test_images_and_clips_come_in_the_order_of_their_frames(tmp_path: Path) -> None:
    found = read(
        image_path=an_image(tmp_path, (10, 0, 0)),
        last_image=Image.new("RGB", (8, 8), (30, 0, 0)),
        references=[
            {"image_path": an_image(tmp_path, (20, 0, 0)), "frame": 20, "strength": 0.5},
            ReferenceConfig(frames=np.full((9, 8, 8, 3), 15, np.uint8), frame=12),
        ],
    )
    assert [(r.first_frame, r.strength, len(r.frames)) for r in found] == [
        (0, 1.0, 1),
        (12, 1.0, 9),
        (20, 0.5, 1),
        (32, 1.0, 1),
    ]
    assert [r.frames[0][0, 0, 0] for r in found] == [10, 15, 20, 30]


def test_a_clip_file_is_read_frame_by_frame_and_cut_to_whole_latents(tmp_path: Path) -> None:
    file = a_video(tmp_path, 20)
    (clip,) = read(video_path=file)
    assert len(clip.frames) == 17
    assert [int(frame.mean().round()) for frame in clip.frames[:3]] == pytest.approx([0, 10, 20], abs=2)
    (late,) = read(references=[{"video_path": file, "frame": 20}])
    assert len(late.frames) == 9
    (short,) = read(plan=SegmentPlan.make(9, 24), video_path=file)
    assert len(short.frames) == 9


def test_frames_are_fitted_to_each_size_and_only_single_images_are_compressed() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (9, 64, 96, 3), np.uint8)
    (clip,) = Reference(tuple(noise[:1])).frames_at(64, 96, crf=40)
    assert np.abs(clip.astype(int) - noise[0]).mean() > 3
    assert np.array_equal(np.stack(Reference(tuple(noise)).frames_at(64, 96, crf=40)), noise)
    halves = Reference(tuple(noise)).frames_at(32, 48, crf=40)
    assert np.abs(halves[0] - noise[0].reshape(32, 2, 48, 2, 3).mean((1, 3))).max() <= 0.5


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ({}, "inputs.references[0]"),
        ({"image_path": "a.png", "video_path": "b.mp4"}, "inputs.references[0]"),
        ({"picture": "a.png"}, "inputs.references[0].picture"),
        ({"image_path": 3}, "inputs.references[0].image_path"),
        (ReferenceConfig(frames=GREY, frame=True), "inputs.references[0].frame"),
        (ReferenceConfig(frames=GREY, frame=33), "inputs.references[0].frame"),
        (ReferenceConfig(frames=GREY, frame=-1), "inputs.references[0].frame"),
        (ReferenceConfig(frames=GREY, strength=1.5), "inputs.references[0].strength"),
        (ReferenceConfig(frames=GREY[0]), "inputs.references[0].frames"),
        (ReferenceConfig(frames=GREY.astype(float)), "inputs.references[0].frames"),
        (ReferenceConfig(pil_image="a.png"), "inputs.references[0].pil_image"),
        ("a.png", "inputs.references[0]"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_its_path(reference: Any, path: str) -> None:
    with pytest.raises(ConfigValidationError) as caught:
        read(references=[reference])
    assert caught.value.path == path


def test_two_at_one_frame_and_too_many_are_refused() -> None:
    same = ReferenceConfig(frames=GREY)
    with pytest.raises(ConfigValidationError, match=r"already taken by inputs\.pil_image") as caught:
        read(pil_image=Image.new("RGB", (8, 8)), references=[same])
    assert caught.value.path == "inputs.references[0].frame"
    with pytest.raises(ConfigValidationError, match="at most 16"):
        read(references=[same] * 17)


def test_in_a_continued_segment_only_new_frames_can_be_given() -> None:
    plan = SegmentPlan.make(33, 24, overlap_frames=9)
    (found,) = read(plan, references=[ReferenceConfig(frames=GREY, frame=9)])
    assert found.first_frame == 9
    for inputs in ({"pil_image": Image.new("RGB", (8, 8))}, {"references": [ReferenceConfig(frames=GREY, frame=8)]}):
        with pytest.raises(ConfigValidationError, match="continues a stream"):
            read(plan, **inputs)


def test_a_file_that_is_no_video_is_refused_and_no_list_of_addresses_is_followed(tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("these are notes")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    (tmp_path / "list.txt").write_text(f"ffconcat version 1.0\nfile '{a_video(tmp_path, 9)}'\n")
    for name in ("notes.mp4", "list.m3u8", "list.txt", "none.mp4"):
        with pytest.raises(ImageInvalid, match="cannot be read"):
            read(video_path=str(tmp_path / name))
