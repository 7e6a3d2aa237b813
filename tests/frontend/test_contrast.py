"""Whether the page's words can be read: WCAG 2.2 contrast (AA) of the colours in its style sheets, light and dark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import TypeAlias

import pytest

CSS = Path(__file__).parent.parent.parent / "frontend" / "css"
TEXT, SHAPE = 4.5, 3.0
THEMES = ("light", "dark")

Rgb: TypeAlias = tuple[float, float, float]

# What words on the page's own grounds are written in. Raised parts get a little of the accent while they play, of the
# ink under a pointer, and of the warning colour before something is removed.
INKS = ("ink", "ink-soft", "ink-faint", "accent", "good", "warn", "bad")
GROUNDS = ("ground", "surface", "raised")
TINTED = (
    ("accent", "accent", 0.10),
    ("ink", "accent", 0.10),
    ("ink-soft", "ink", 0.05),
    ("ink", "ink", 0.08),
    ("bad", "bad", 0.14),
)
# What stands on a colour of its own.
PAIRS = (("on-lime", "lime"), ("ground", "ink"), ("on-live", "live"), ("ground", "bad"), ("accent", "ground"))
# Over a picture, of which nothing is known: text, how much of it is there, and the veil under it, over white.
OVER_PICTURES = (
    ("#ffffff", 1.0, "#08090b", 0.62),
    ("#ffffff", 1.0, "#08090b", 0.74),
    ("#f4f4f0", 1.0, "#08090b", 0.66),
    ("#ffffff", 0.72, "#08090b", 0.72),
    ("#ffffff", 0.85, "#000000", 0.74),
)
# Before the first prompt the picture is a sky, whose brightest colour this is.
SKY = "#f0a64f"
OVER_SKY = (("#ffffff", 0.92, "#0c0d14", 0.5),)
# The hero's words stand in its upper half, which is this dark at most.
OVER_DUSK = (("#ffffff", 0.8, "#563056", 1.0),)
# Colours of text that are written out, each with what it stands on (the lists above).
WRITTEN = {
    "#fff": OVER_PICTURES,
    "#f4f4f0": OVER_PICTURES,
    "rgb(255 255 255 / 0.92)": OVER_SKY,
    "rgb(255 255 255 / 0.72)": OVER_PICTURES,
    "rgb(255 255 255 / 0.85)": OVER_PICTURES,
    "rgb(255 255 255 / 0.8)": OVER_DUSK,
    # A shape in an empty frame, and no text.
    "rgb(255 255 255 / 0.4)": (),
}


@pytest.mark.parametrize("theme", THEMES)
def test_words_can_be_read_on_the_page(theme: str) -> None:
    for ink, ground in product(INKS, GROUNDS):
        assert contrast(token(ink, theme), token(ground, theme)) >= TEXT, f"{ink} on {ground}"


@pytest.mark.parametrize("theme", THEMES)
def test_words_can_be_read_on_what_is_tinted(theme: str) -> None:
    for ink, tint, part in TINTED:
        tinted = mixed(token("raised", theme), token(tint, theme), part)
        assert contrast(token(ink, theme), tinted) >= TEXT, f"{ink} on raised with {part} of {tint}"


@pytest.mark.parametrize("theme", THEMES)
def test_words_can_be_read_on_a_colour_of_their_own(theme: str) -> None:
    for ink, ground in PAIRS:
        assert contrast(token(ink, theme), token(ground, theme)) >= TEXT, f"{ink} on {ground}"


@pytest.mark.parametrize("picture", ["#ffffff", "#000000"])
def test_words_over_a_picture_can_be_read_whatever_it_shows(picture: str) -> None:
    for text, there, veil, part in OVER_PICTURES:
        ground = mixed(rgb(picture), rgb(veil), part)
        assert contrast(mixed(ground, rgb(text), there), ground) >= TEXT, f"{there} of {text} over {part} of {veil}"


def test_words_over_the_sky_can_be_read() -> None:
    for text, there, veil, part in (*OVER_SKY, *OVER_DUSK):
        ground = mixed(rgb(SKY), rgb(veil), part)
        assert contrast(mixed(ground, rgb(text), there), ground) >= TEXT, f"{there} of {text} over {part} of {veil}"


@pytest.mark.parametrize("theme", THEMES)
def test_the_focus_can_be_seen(theme: str) -> None:
    for ground in GROUNDS:
        assert contrast(token("accent", theme), token(ground, theme)) >= SHAPE
    assert contrast(token("lime", theme), rgb("#08090b")) >= SHAPE
    assert contrast(token("live", theme), rgb("#08090b")) >= SHAPE


@pytest.mark.parametrize("theme", THEMES)
def test_switches_and_progress_can_be_seen(theme: str) -> None:
    for ground in ("ground", "surface"):
        assert contrast(token("track", theme), token(ground, theme)) >= SHAPE
    assert contrast(token("track", theme), rgb("#ffffff")) >= SHAPE, "the knob of a switch"
    assert contrast(token("on-lime", theme), token("lime", theme)) >= SHAPE, "the knob of one that is on"
    assert contrast(token("progress", theme), token("raised", theme)) >= SHAPE


def test_every_colour_of_text_is_one_of_those() -> None:
    named = {*INKS, "on-lime", "on-live", "ground", "lime"}
    for place, value in declared("color"):
        variable = re.fullmatch(r"var\(--([\w-]+)\)", value)
        known = variable[1] in named if variable else value in {*WRITTEN, "inherit"}
        assert known, f"{place} sets the colour {value}, which this test does not know"


def test_black_on_white_has_the_contrast_of_the_standard() -> None:
    assert contrast(rgb("#000000"), rgb("#ffffff")) == pytest.approx(21.0)
    assert contrast(rgb("#777777"), rgb("#ffffff")) == pytest.approx(4.48, abs=0.01)


# --- style sheets and colours


def declared(name: str) -> Iterator[tuple[str, str]]:
    """Each value that the style sheets give a property, with the file and the selector."""
    for path in sorted(CSS.glob("*.css")):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        for selector, body in re.findall(r"([^{}]+)\{([^{}]*)\}", text):
            for value in re.findall(rf"(?:^|;)\s*{name}:\s*([^;]+)", body):
                yield f"{path.name}: {selector.strip()}", value.strip()


@cache
def token(name: str, theme: str) -> Rgb:
    """The colour that a custom property of ``base.css`` has in a theme."""
    (value,) = {value for _, value in declared(f"--{name}")}
    both = re.fullmatch(r"light-dark\((#\w{6}), (#\w{6})\)", value)
    return rgb(both[1 + THEMES.index(theme)] if both else value)


def rgb(hexadecimal: str) -> Rgb:
    red, green, blue = (int(hexadecimal[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def mixed(under: Rgb, over: Rgb, part: float) -> Rgb:
    """So much of one colour over another, as a browser draws what is see-through."""
    red, green, blue = (a + (b - a) * part for a, b in zip(under, over, strict=True))
    return red, green, blue


def contrast(one: Rgb, other: Rgb) -> float:
    """The ratio of WCAG 2: 1 to 21."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Rgb) -> float:
    linear = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
