"""What a continuation does with the scene before it."""

from __future__ import annotations

from enum import StrEnum


class Change(StrEnum):
    """COLOUR, MOTION and KIND are of one thing; SCENE replaces everything."""

    NONE = "none"
    COLOUR = "colour"
    MOTION = "motion"
    KIND = "kind"
    BACKDROP = "backdrop"
    SCENE = "scene"
