"""The fake generator's picture: every size, readable strip, smooth joins."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from fastvideo.entrypoints.streaming.mock_motion import trace_path
from fastvideo.entrypoints.streaming.mock_picture import FADE_FRAMES, Look, SegmentPainter
from fastvideo.entrypoints.streaming.mock_scene import read_prompt
from fastvideo.media.strip import STRIP_HEIGHT_PX, read_strip


def painter(prompt: str = "a red ball on blue", **changes: Any) -> SegmentPainter:
    scene = read_prompt(prompt, 1)
    settings: dict[str, Any] = {
        "before": None,
        "trail": [],
        "width_px": 320,
        "height_px": 192,
        "fps": 24,
        "start_s": 0.0,
        "segment_index": 3,
        "caption": prompt,
    }
    settings |= changes
    path = trace_path(scene, start_s=settings["start_s"], frames=48, fps=settings["fps"], before=None)
    return SegmentPainter(scene, path=path, **settings)


def body(frames: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The part of the picture between strip and captions, as numbers that can be subtracted."""
    return frames[..., STRIP_HEIGHT_PX : frames.shape[-3] * 3 // 4, :, :].astype(np.int16)


@pytest.mark.parametrize(("width", "height"), [(16, 16), (32, 32), (96, 512), (257, 33), (321, 193), (640, 352)])
@pytest.mark.parametrize("prompt", ["left", "up", "bounce", "star spin", "square", "diamond", "flower"])
def test_any_size_and_scene_can_be_painted(width: int, height: int, prompt: str) -> None:
    frames = painter(prompt, width_px=width, height_px=height).frames(0, 3)
    assert (frames.shape, frames.dtype) == ((3, height, width, 3), np.uint8)
    assert np.ptp(frames) > 30


def test_the_strip_names_segment_and_frame() -> None:
    frames = painter(segment_index=3).frames(8, 12)
    assert [read_strip(frame) for frame in frames] == [(3, 8), (3, 9), (3, 10), (3, 11)]


def test_frames_do_not_depend_on_how_they_are_asked_for() -> None:
    whole = painter().frames(0, 20)
    parts = painter()
    assert np.array_equal(whole, np.concatenate([parts.frames(0, 2), parts.frames(2, 11), parts.frames(11, 20)]))


def test_the_prompts_colours_are_in_the_picture() -> None:
    frame = painter("a green ball on red", height_px=320).frames(30, 31)[0]
    strongest = body(frame).reshape(-1, 3)
    greens = (strongest[:, 1] > strongest[:, 0] + 60).mean()
    reds = (strongest[:, 0] > strongest[:, 1] + 60).mean()
    assert 0.02 < greens < 0.3
    assert reds > 0.4


def test_something_moves_in_every_frame() -> None:
    frames = body(painter("circle").frames(0, 24))
    assert all(np.abs(after - before).max() > 20 for before, after in pairwise(frames))


def test_edges_are_smooth_and_movement_is_finer_than_a_pixel() -> None:
    # A slow shape changes its edge's shades, not whole pixels, from frame to frame.
    frames = body(painter("a white square drifting slowly on black").frames(20, 22))
    change = np.abs(frames[1] - frames[0]).max(axis=-1)
    partly = ((change > 8) & (change < 120)).sum()
    assert partly > 5 * (change >= 120).sum()


def test_captions_differ_by_prompt_segment_and_time() -> None:
    def captions(**changes: Any) -> np.ndarray[Any, Any]:
        return painter(**changes).frames(24, 25)[0, -50:].astype(np.int16)

    plain = captions(caption="one")
    assert np.abs(captions(caption="two") - plain).max() > 100
    assert np.abs(captions(caption="one", segment_index=4) - plain).max() > 100
    seconds = painter(caption="one").frames(24, 25)[0, -50:, 200:], painter(caption="one").frames(47, 48)[0, -50:, 200:]
    assert np.abs(seconds[0].astype(np.int16) - seconds[1]).max() > 100


@pytest.mark.parametrize("caption", ["", "x" * 4000, "新しい\u202e🎬\n\x00\x1b", "\u0300" * 50])
def test_any_caption_can_be_drawn(caption: str) -> None:
    assert painter(caption=caption).frames(0, 1).shape == (1, 192, 320, 3)


def test_a_segment_fades_in_from_the_scene_before_it() -> None:
    old, new = "a red star on white", "a blue ball on black"
    faded = painter(new, before=Look.of(read_prompt(old, 1)))
    alone = painter(new)
    first = np.abs(body(faded.frames(0, 1)) - body(alone.frames(0, 1))).mean()
    half = np.abs(body(faded.frames(7, 8)) - body(alone.frames(7, 8))).mean()
    assert first > 60
    assert 0.2 * first < half < 0.8 * first
    assert np.array_equal(faded.frames(FADE_FRAMES, FADE_FRAMES + 1), alone.frames(FADE_FRAMES, FADE_FRAMES + 1))
