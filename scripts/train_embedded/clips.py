"""Batches of short clips of the world for training, each the same function of a seed and a step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from torch import Tensor

from scripts.train_embedded.world.render import render
from scripts.train_embedded.world.segment import Segment
from scripts.train_embedded.world.story import story

# How many crops are laid over a thing rather than anywhere.
_ON_A_THING = 0.85
_SEGMENTS = 2
# Beyond any step of a run: validation shares no story with training.
_VALIDATION_STEP = 2**40


@dataclass(frozen=True)
class ClipShape:
    """Clips of ``num_frames`` frames, ``crop_px`` square, cut from pictures of ``picture_px``."""

    batch: int
    num_frames: int
    picture_px: int
    crop_px: int

    def __post_init__(self) -> None:
        if self.crop_px > self.picture_px:
            raise ValueError(f"a crop of {self.crop_px} px does not fit into pictures of {self.picture_px} px")


def clip_batch(seed: int, step: int, shape: ClipShape) -> Tensor:
    """Pixels [B, 3, F, crop_px, crop_px] in -1..1 of training stories."""
    clips = [_clip(seed, step * shape.batch + number, shape) for number in range(shape.batch)]
    pixels = torch.from_numpy(np.stack(clips)).float().div_(127.5).sub_(1)
    return pixels.movedim(-1, 1).contiguous(memory_format=torch.channels_last_3d)


def validation_batch(seed: int, shape: ClipShape) -> Tensor:
    """A batch that no step of a run trains on."""
    return clip_batch(seed, _VALIDATION_STEP, shape)


def _clip(seed: int, index: int, shape: ClipShape) -> NDArray[np.uint8]:
    rng = default_rng([seed, index, 1])
    shots = story(seed, index, num_segments=_SEGMENTS)
    segment = shots[int(rng.integers(_SEGMENTS))].segment
    first = int(rng.integers(segment.num_frames - shape.num_frames + 1))
    left, top = _corner(rng, segment, first + shape.num_frames // 2, shape)
    frames = render(segment, shape.picture_px, first, shape.num_frames)
    return frames[:, top : top + shape.crop_px, left : left + shape.crop_px]


def _corner(rng: Generator, segment: Segment, frame: int, shape: ClipShape) -> tuple[int, int]:
    room = shape.picture_px - shape.crop_px
    anywhere = rng.integers(room + 1, size=2)
    if rng.random() >= _ON_A_THING:
        return int(anywhere[0]), int(anywhere[1])
    tracks = segment.tracks()
    track = tracks[int(rng.integers(len(tracks)))]
    centre = np.array([track.x[frame], track.y[frame]]) * shape.picture_px
    corner = np.clip(np.rint(centre - rng.uniform(0.1, 0.9, 2) * shape.crop_px), 0, room)
    return int(corner[0]), int(corner[1])
