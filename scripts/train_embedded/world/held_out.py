"""Which (colour, shape, motion) combinations training never shows, though it shows each of their parts and pairs."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from itertools import product

from fastvideo.eval.world.scene import Colour, Kind, Motion

Combination = tuple[Colour, Kind, Motion]

_ONE_IN = 11


class Split(StrEnum):
    TRAIN = "train"
    HELD_OUT = "held_out"


def is_drawn(kind: Kind, motion: Motion) -> bool:
    """Whether stories hold that pair: a turning ball or ring would look still."""
    return not (kind.is_round and motion is Motion.SPIN)


def is_held_out(colour: Colour, kind: Kind, motion: Motion) -> bool:
    """A fixed one in eleven, spread as in a Latin square: no part and no pair of parts is held out as a whole."""
    place = list(Colour).index(colour) + list(Kind).index(kind) + 2 * list(Motion).index(motion)
    return is_drawn(kind, motion) and place % _ONE_IN == 3


@cache
def combinations(split: Split) -> tuple[Combination, ...]:
    """All combinations of a split, in a fixed order."""
    return tuple(
        (colour, kind, motion)
        for colour, kind, motion in product(Colour, Kind, Motion)
        if is_drawn(kind, motion) and is_held_out(colour, kind, motion) is (split is Split.HELD_OUT)
    )
