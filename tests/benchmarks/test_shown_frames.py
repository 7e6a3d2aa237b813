"""Frame numbers are read from pictures as they are decoded: what is missing, twice or unreadable is found."""

from __future__ import annotations

import numpy as np

from benchmarks.shown_frames import frame_faults
from fastvideo.media.encoder import SegmentEncoder
from fastvideo.media.strip import draw_strip
from fastvideo.media.timeline import MediaCursor

FRAMES = 6


def coded(numbers: list[tuple[int, int] | None]) -> list[bytes]:
    """An init segment and the fragments of pictures with these segments and frames, or without."""
    encoder = SegmentEncoder(
        width=256, height=64, fps=12, cursor=MediaCursor.start(), encoder="libx264", with_audio=False
    )
    grey = np.full((64, 256, 3), 90, np.uint8)
    frames = np.stack([grey if number is None else draw_strip(grey, *number) for number in numbers])
    fragments = [*encoder.push_video(frames), *encoder.finish()[0]]
    return [encoder.init_segment, *(fragment.data for fragment in fragments)]


def whole() -> list[tuple[int, int] | None]:
    return [(segment, frame) for segment in range(2) for frame in range(FRAMES)]


def test_frames_that_follow_each_other_across_segments_have_no_fault() -> None:
    assert frame_faults(coded(whole()), FRAMES) == (12, [])


def test_what_is_missing_or_there_twice_is_found() -> None:
    numbers = whole()
    assert frame_faults(coded(numbers[1:]), FRAMES)[1] == ["the first picture is frame 1"]
    assert frame_faults(coded(numbers[:4] + numbers[5:]), FRAMES)[1] == ["frame 5 follows frame 3"]
    assert frame_faults(coded(numbers[:5] + numbers[4:]), FRAMES)[1] == ["frame 4 follows frame 4"]


def test_a_picture_without_a_number_is_found() -> None:
    numbers = whole()
    assert frame_faults(coded([*numbers, None]), FRAMES)[1] == ["picture 12 has no number that can be read"]
