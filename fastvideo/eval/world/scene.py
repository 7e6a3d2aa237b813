"""What a scene shows, as plain data: the attributes that a caption names and a meter measures."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Shapes. All kinds of one size have the same outer radius."""

    BALL = "ball"
    SQUARE = "square"
    TRIANGLE = "triangle"
    STAR = "star"
    RING = "ring"

    @property
    def is_round(self) -> bool:
        """Whether turning it on the spot changes nothing that could be seen."""
        return self in (Kind.BALL, Kind.RING)


class Colour(StrEnum):
    RED = "red"
    ORANGE = "orange"
    YELLOW = "yellow"
    GREEN = "green"
    CYAN = "cyan"
    BLUE = "blue"
    PURPLE = "purple"
    PINK = "pink"
    WHITE = "white"
    BLACK = "black"

    @property
    def rgb(self) -> tuple[int, int, int]:
        return _RGB[self]

    @property
    def shade(self) -> tuple[int, int, int]:
        """The second tone of a gradient or texture: darker, or lighter for black."""
        if self is Colour.BLACK:
            return (66, 66, 72)
        red, green, blue = (round(0.74 * value) for value in self.rgb)
        return red, green, blue


_RGB: dict[Colour, tuple[int, int, int]] = {
    Colour.RED: (214, 36, 36),
    Colour.ORANGE: (245, 138, 16),
    Colour.YELLOW: (250, 222, 50),
    Colour.GREEN: (40, 160, 60),
    Colour.CYAN: (60, 208, 216),
    Colour.BLUE: (36, 76, 214),
    Colour.PURPLE: (132, 48, 172),
    Colour.PINK: (250, 140, 192),
    Colour.WHITE: (244, 244, 244),
    Colour.BLACK: (22, 22, 26),
}


class Size(StrEnum):
    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"

    @property
    def radius(self) -> float:
        """Outer radius in frame heights."""
        return {Size.SMALL: 0.17, Size.MEDIUM: 0.205, Size.LARGE: 0.24}[self]


class Motion(StrEnum):
    LEFT = "left"
    RIGHT = "right"
    UP = "up"
    DOWN = "down"
    BOUNCE = "bounce"
    CIRCLE = "circle"
    GROW = "grow"
    SPIN = "spin"
    STILL = "still"

    @property
    def direction(self) -> tuple[int, int]:
        """Unit step (x, y) of a directed motion; (0, 0) for the others."""
        return {Motion.LEFT: (-1, 0), Motion.RIGHT: (1, 0), Motion.UP: (0, -1), Motion.DOWN: (0, 1)}.get(self, (0, 0))


class Place(StrEnum):
    """Where a thing starts, along the axes on which its motion leaves a choice."""

    MIDDLE = "middle"
    LEFT = "left side"
    RIGHT = "right side"
    TOP = "top"
    BOTTOM = "bottom"


class Pattern(StrEnum):
    PLAIN = "plain"
    GRADIENT = "gradient"
    STRIPES = "stripes"
    CHECKS = "checks"


@dataclass(frozen=True)
class Thing:
    """One shape, what it does, and where it was when it came into the picture."""

    kind: Kind
    colour: Colour
    size: Size
    motion: Motion
    place: Place = Place.MIDDLE


@dataclass(frozen=True)
class Backdrop:
    pattern: Pattern
    colour: Colour

    def contrasts_with(self, colour: Colour) -> bool:
        """Whether a shape of that colour stands out from both tones of the backdrop."""
        tones = (self.colour.rgb, self.colour.shade)
        return all(sum((a - b) ** 2 for a, b in zip(colour.rgb, tone, strict=True)) >= 110**2 for tone in tones)


@dataclass(frozen=True)
class Scene:
    """One or two things in front of a backdrop. Two things move in lanes of their own and never meet."""

    things: tuple[Thing, ...]
    backdrop: Backdrop
