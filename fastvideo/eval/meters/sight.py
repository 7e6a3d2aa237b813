"""Finds the backdrop and the things in front of it, and where in each frame they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastvideo.eval.meters.colour_names import COLOURS, cell_colours, cells, names
from fastvideo.eval.world.scene import Colour

Mask = NDArray[np.bool_]

# Smaller patches are noise; the smallest shape covers ten times as much.
_SMALLEST_SHARE = 0.0015
# A second thing has at least this share of the first one's depth: less is an edge where two colours mix.
_SECOND_SHARE = 0.1
_MOST_THINGS = 2


@dataclass(frozen=True)
class SeenThing:
    """A thing's colour, and the pixels that show it: [T, H, W]."""

    colour: Colour
    mask: Mask


@dataclass(frozen=True)
class Sight:
    """What frames show: at most two things, the largest first."""

    backdrop: Colour
    things: tuple[SeenThing, ...]


def look(frames: NDArray[np.uint8]) -> Sight:
    """Names the backdrop and the things of some frames of one scene."""
    index = cells(frames)
    labels = names()[index]
    votes = np.bincount(labels.ravel(), minlength=len(COLOURS))
    backdrop = int(votes.argmax())
    # Only pixels whose neighbours agree vote for a thing: mixed colours at edges have no depth.
    deep = np.bincount(labels[_has_depth(labels)], minlength=len(COLOURS)).astype(float)
    deep[backdrop] = 0
    order = np.argsort(deep)[::-1][:_MOST_THINGS]
    least = max(_SMALLEST_SHARE * labels.size, _SECOND_SHARE * deep[order[0]])
    found = [int(label) for label in order if deep[label] >= least]
    if not found:
        return Sight(COLOURS[backdrop], ())
    nearest = _nearest(index, labels, backdrop, found)[index]
    masks = [nearest == number for number in range(len(found))]
    if len(found) > 1:
        masks = [_opened(mask) for mask in masks]
    return Sight(COLOURS[backdrop], tuple(SeenThing(COLOURS[n], mask) for n, mask in zip(found, masks, strict=True)))


def _nearest(index: NDArray[np.intp], labels: NDArray[np.uint8], backdrop: int, found: list[int]) -> NDArray[np.int8]:
    """For each table cell which of the ``found`` it is nearest to, by their colours in this clip; -1 the backdrop."""
    counts = np.bincount(index.ravel(), minlength=len(cell_colours()))
    colours, named = cell_colours(), names()
    own = counts * (named == backdrop)
    luma = colours @ (0.299, 0.587, 0.114)
    order = np.argsort(luma)
    position = np.cumsum(own[order]) / own.sum()
    # The backdrop is a line between its darkest and its lightest tone.
    ends = []
    for low, high in ((0.0, 0.15), (0.85, 1.0)):
        band = order[(position >= low) & (position <= high) & (own[order] > 0)]
        band = band if band.size else order[own[order] > 0]
        ends.append(np.average(colours[band], axis=0, weights=own[band]))
    run = ends[1] - ends[0]
    along = np.clip((colours - ends[0]) @ run / max(float(run @ run), 1e-9), 0, 1)
    distances = [((colours - ends[0] - along[:, None] * run) ** 2).sum(axis=1)]
    deep = _has_depth(labels)
    for label in found:
        core = np.bincount(index[deep & (labels == label)], minlength=len(colours))
        mean = np.average(colours, axis=0, weights=core)
        distances.append(((colours - mean) ** 2).sum(axis=1))
    nearest: NDArray[np.int8] = (np.argmin(distances, axis=0) - 1).astype(np.int8)
    return nearest


def _has_depth(labels: NDArray[np.uint8]) -> Mask:
    """Whether the four nearest neighbours have the same label; never at the frame's border."""
    same = np.zeros(labels.shape, bool)
    middle = labels[:, 1:-1, 1:-1]
    same[:, 1:-1, 1:-1] = (
        (labels[:, :-2, 1:-1] == middle)
        & (labels[:, 2:, 1:-1] == middle)
        & (labels[:, 1:-1, :-2] == middle)
        & (labels[:, 1:-1, 2:] == middle)
    )
    return same


def _opened(mask: Mask) -> Mask:
    """The mask without what is thinner than three pixels."""
    core = _has_depth(mask.astype(np.uint8)) & mask
    grown = np.zeros_like(mask)
    height, width = mask.shape[1:]
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            shifted = core[:, max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
            grown[:, max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)] |= shifted
    return grown & mask
