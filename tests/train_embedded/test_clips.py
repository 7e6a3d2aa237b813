"""Batches are functions of a seed and a step, and show the things that are to be learned."""

import pytest
import torch

from scripts.train_embedded.clips import ClipShape, clip_batch, validation_batch

SHAPE = ClipShape(batch=6, num_frames=9, picture_px=128, crop_px=64)


def test_a_step_gives_the_same_clips_again_and_other_steps_and_seeds_others() -> None:
    batch = clip_batch(0, 3, SHAPE)
    assert batch.shape == (6, 3, 9, 64, 64)
    assert torch.equal(batch, clip_batch(0, 3, SHAPE))
    for other in (clip_batch(0, 4, SHAPE), clip_batch(1, 3, SHAPE), validation_batch(0, SHAPE)):
        assert not torch.equal(batch, other)


def test_pixels_fill_minus_one_to_one_and_most_crops_show_more_than_a_backdrop() -> None:
    pixels = clip_batch(0, 0, ClipShape(40, 9, 128, 64))
    assert -1 <= pixels.min() < -0.8
    assert 0.8 < pixels.max() <= 1
    tones = [len(clip[:, 4].flatten(1).mul(127.5).round().unique(dim=1).T) for clip in pixels]
    assert sum(count > 4 for count in tones) > 30


def test_whole_pictures_can_be_taken_and_larger_crops_are_refused() -> None:
    assert clip_batch(0, 0, ClipShape(1, 9, 64, 64)).shape == (1, 3, 9, 64, 64)
    with pytest.raises(ValueError, match="a crop of 96 px does not fit into pictures of 64 px"):
        ClipShape(1, 9, 64, 96)
