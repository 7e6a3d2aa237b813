"""Pictures get the sound of their time, however the two tracks come."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.client.frame import Frame, FrameAssembler, Picture

RATE_HZ = 48_000
PIXELS = np.zeros((2, 2, 3), np.uint8)


def picture(number: int, fps: int = 24) -> Picture:
    return Picture(number * 512, (number + 1) * 512, fps * 512, PIXELS)


def sound(start: int, count: int) -> np.ndarray:
    """Samples that are their own numbers."""
    return np.tile(np.arange(start, start + count, dtype=np.float32), (2, 1))


def lengths(frames: list[Frame]) -> list[int]:
    return [frame.samples.shape[1] for frame in frames]


def test_a_picture_waits_until_all_of_its_sound_is_there() -> None:
    frames = FrameAssembler(RATE_HZ, 2)
    frames.add_picture(picture(0), 3, "a fox")
    frames.add_sound(0, sound(0, 1024))
    assert frames.ready() == []
    frames.add_sound(1024, sound(1024, 1024))
    (frame,) = frames.ready()
    assert (frame.index, frame.time_s, frame.segment_idx, frame.prompt) == (0, 0.0, 3, "a fox")
    assert frame.samples.shape == (2, 2000)
    assert frame.samples[0, -1] == 1999


def test_sound_that_comes_too_late_goes_to_the_frame_after() -> None:
    frames = FrameAssembler(RATE_HZ, 2)
    frames.add_picture(picture(0), 0, "")
    frames.add_sound(0, sound(0, 1024))
    assert lengths(frames.rest()) == [1024]
    frames.add_sound(1024, sound(1024, 3000))
    frames.add_picture(picture(1), 1, "")
    (frame,) = frames.ready()
    assert frame.samples.shape == (2, 2976)
    assert frame.samples[0, 0] == 1024


def test_without_sound_no_picture_waits() -> None:
    frames = FrameAssembler(0, 0)
    frames.add_picture(picture(5), 0, "")
    (frame,) = frames.ready()
    assert (frame.index, frame.samples.shape, frame.sample_rate_hz) == (5, (0, 0), 0)


def test_pictures_whose_sound_never_comes_do_not_pile_up() -> None:
    frames, given_frames = FrameAssembler(RATE_HZ, 2), 0
    for number in range(100):
        frames.add_picture(picture(number), 0, "")
        given_frames += len(frames.ready())
    assert given_frames >= 60


def test_a_hole_in_the_sound_is_silence() -> None:
    frames = FrameAssembler(RATE_HZ, 2)
    frames.add_picture(picture(0), 0, "")
    frames.add_sound(0, sound(1, 500))
    frames.add_sound(1500, sound(1, 500))
    (frame,) = frames.ready()
    assert (frame.samples[0] == 0).nonzero()[0].tolist() == list(range(500, 1500))


@given(
    first=st.integers(0, 100),
    blocks=st.lists(st.integers(1, 5000), min_size=1, max_size=20),
    early=st.integers(0, 6000),
    order=st.randoms(use_true_random=False),
)
def test_together_the_frames_have_all_of_the_sound_from_the_first_picture_on(
    first: int, blocks: list[int], early: int, order: object
) -> None:
    begin = first * 2000
    start = max(0, begin - early)
    end = start + sum(blocks)
    steps = ["picture"] * 8 + ["sound"] * len(blocks)
    order.shuffle(steps)  # type: ignore[attr-defined]
    frames, given_frames, number, at = FrameAssembler(RATE_HZ, 2), [], first, start
    sizes = iter(blocks)
    for step in steps:
        if step == "picture":
            frames.add_picture(picture(number), 0, "")
            number += 1
        else:
            size = next(sizes)
            frames.add_sound(at, sound(at, size))
            at += size
        ready = frames.ready()
        assert all(frame.samples.shape[1] == 2000 for frame in ready)
        given_frames += ready
    given_frames += frames.rest()
    heard = np.concatenate([frame.samples for frame in given_frames], axis=1)[0]
    assert [frame.index for frame in given_frames] == list(range(first, first + 8))
    expected = np.arange(begin, max(begin, min(end, begin + 8 * 2000)), dtype=np.float32)
    assert np.array_equal(heard, expected)
