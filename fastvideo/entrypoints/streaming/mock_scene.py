"""What the fake generator understands of a prompt: colours, a shape, a motion and a chord."""

from __future__ import annotations

import colorsys
import hashlib
import math
import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

Rgb: TypeAlias = tuple[int, int, int]
Shape: TypeAlias = Literal["ball", "star", "square", "diamond", "flower"]
Motion: TypeAlias = Literal["left", "right", "up", "down", "bounce", "circle", "spin", "drift"]

_COLOURS: dict[str, Rgb] = {
    "red": (230, 57, 70), "crimson": (200, 30, 60), "fire": (240, 80, 30), "orange": (247, 140, 50),
    "sunset": (250, 120, 70), "gold": (240, 190, 60), "golden": (240, 190, 60), "amber": (245, 170, 40),
    "yellow": (250, 215, 70), "sun": (252, 205, 80), "lime": (170, 225, 70), "green": (70, 185, 95),
    "forest": (45, 120, 70), "teal": (40, 165, 160), "turquoise": (60, 200, 190), "cyan": (70, 205, 230),
    "sky": (110, 180, 240), "ocean": (30, 110, 180), "sea": (35, 120, 175), "blue": (60, 110, 225),
    "navy": (30, 50, 110), "indigo": (80, 70, 190), "violet": (140, 90, 220), "purple": (150, 75, 200),
    "magenta": (220, 60, 180), "pink": (245, 130, 180), "rose": (235, 110, 140), "brown": (140, 95, 60),
    "white": (240, 240, 245), "snow": (235, 242, 250), "silver": (190, 198, 208), "grey": (135, 140, 150),
    "gray": (135, 140, 150), "black": (28, 28, 34), "night": (22, 26, 54),
}  # fmt: skip
_SHAPES: dict[str, Shape] = {
    "ball": "ball", "bubble": "ball", "moon": "ball", "planet": "ball", "star": "star", "stars": "star",
    "square": "square", "cube": "square", "box": "square", "diamond": "diamond", "crystal": "diamond",
    "kite": "diamond", "flower": "flower", "blossom": "flower", "petals": "flower",
}  # fmt: skip
_MOTIONS: dict[str, Motion] = {
    "left": "left", "right": "right", "up": "up", "upwards": "up", "rising": "up", "rises": "up", "down": "down",
    "downwards": "down", "falling": "down", "falls": "down", "bounce": "bounce", "bounces": "bounce",
    "bouncing": "bounce", "jumping": "bounce", "circle": "circle", "circles": "circle", "circling": "circle",
    "orbit": "circle", "orbiting": "circle", "spin": "spin", "spins": "spin", "spinning": "spin",
    "rotating": "spin", "turning": "spin",
}  # fmt: skip
_SPEEDS: dict[str, float] = {"slow": 0.5, "slowly": 0.5, "calm": 0.6, "fast": 1.8, "quickly": 1.8, "racing": 2.2}
# Semitones above the root: major, minor, suspended second, major sixth.
_CHORDS: tuple[tuple[int, int, int], ...] = ((0, 4, 7), (0, 3, 7), (0, 2, 7), (0, 4, 9))
_PENTATONIC = (0, 2, 4, 7, 9)
_A3_HZ = 220.0


@dataclass(frozen=True, slots=True)
class Scene:
    """One segment's look and sound. `spread` in 0..1 tells scenes with the same words apart."""

    shape: Shape
    shape_rgb: Rgb
    backdrop_rgb: Rgb
    motions: frozenset[Motion]
    speed: float
    chord_hz: tuple[float, float, float]
    spread: float


def read_prompt(prompt: str, seed: int) -> Scene:
    """The scene of a prompt: words it knows decide, a hash of prompt and seed decides the rest."""
    words = re.findall(r"[a-z]+", prompt.lower())
    chance = hashlib.sha256(f"{seed}\n{prompt}".encode()).digest()
    colours = list(dict.fromkeys(_COLOURS[word] for word in words if word in _COLOURS))
    shape_rgb = colours[0] if colours else _from_hue(chance[0] / 256, 0.62, 0.96)
    backdrop_rgb = colours[1] if len(colours) > 1 else _contrast(shape_rgb, chance[1] / 256)
    shapes = [_SHAPES[word] for word in words if word in _SHAPES]
    motions = frozenset(_MOTIONS[word] for word in words if word in _MOTIONS)
    root_hz = _A3_HZ * 2 ** ((_PENTATONIC[chance[3] % 5] - 12 * (chance[3] // 5 % 2)) / 12)
    low, middle, high = (root_hz * 2 ** (semitones / 12) for semitones in _CHORDS[chance[4] % len(_CHORDS)])
    return Scene(
        shape=shapes[0] if shapes else ("ball", "star", "square", "diamond", "flower")[chance[2] % 5],
        shape_rgb=shape_rgb,
        backdrop_rgb=backdrop_rgb,
        motions=motions or frozenset({"drift"}),
        speed=math.prod(_SPEEDS[word] for word in set(words) & set(_SPEEDS)),
        chord_hz=(low, middle, high),
        spread=chance[5] / 256,
    )


def _from_hue(hue: float, saturation: float, value: float) -> Rgb:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _contrast(rgb: Rgb, chance: float) -> Rgb:
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in rgb))
    # Somewhere near the opposite hue, and dark enough that a bright shape stands out; a dark shape gets a light one.
    opposite = hue + 0.42 + 0.16 * chance
    return _from_hue(opposite, 0.35 + 0.3 * saturation, 0.42 if value > 0.3 else 0.85)
