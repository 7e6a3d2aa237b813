"""Batches of captions with what they say, each the same function of a seed and a step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from numpy.random import default_rng
from torch import Tensor

from scripts.train_embedded.text_noise import disturb
from scripts.train_embedded.text_targets import Said, classes, said_in
from scripts.train_embedded.text_wordings import own_wording
from scripts.train_embedded.world.held_out import Split
from scripts.train_embedded.world.story import story

# Of each story the captions of its first two segments, and wordings of people's own for both.
CAPTIONS_PER_STORY = 4


@dataclass(frozen=True)
class CaptionBatch:
    """``targets`` int64 [B, attributes] are the classes of what each caption says."""

    captions: list[str]
    targets: Tensor


def caption_batch(seed: int, step: int, size: int) -> CaptionBatch:
    """``size`` captions of training stories, some of them as carelessly written as people write."""
    captions: list[str] = []
    said: list[Said] = []
    count = size // CAPTIONS_PER_STORY
    for index in range(step * count, (step + 1) * count):
        rng = default_rng([seed, index, 2])
        for caption, its in _of_story(seed, index, Split.TRAIN, own=True):
            captions.append(disturb(caption, rng))
            said.append(its)
    return CaptionBatch(captions, torch.tensor([classes(its) for its in said]))


def held_out_batch(seed: int, size: int, *, own: bool) -> CaptionBatch:
    """Undisturbed captions of held-out stories: of the grammar, or in people's own wordings."""
    captions: list[str] = []
    said: list[Said] = []
    for index in range(size // 2):
        for caption, its in _of_story(seed, index, Split.HELD_OUT, own=own)[-2:]:
            captions.append(caption)
            said.append(its)
    return CaptionBatch(captions, torch.tensor([classes(its) for its in said]))


def _of_story(seed: int, index: int, split: Split, *, own: bool) -> list[tuple[str, Said]]:
    # Where the first of two stories is not of two things, the second: pairs have more to learn and are few.
    shots = story(seed, 2 * index, num_segments=2, split=split)
    if len(shots[0].segment.scene.things) == 1:
        shots = story(seed, 2 * index + 1, num_segments=2, split=split)
    captions = list(zip((shot.caption for shot in shots), said_in(shots), strict=True))
    if own:
        rng = default_rng([seed, index, 3])
        captions += [own_wording(shot, rng) for shot in shots]
    return captions
