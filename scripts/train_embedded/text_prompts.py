"""Prompts written by hand, as people might type them, with what they say."""

from __future__ import annotations

from fastvideo.eval.world.scene import Colour, Kind, Motion, Pattern, Place, Size
from scripts.train_embedded.text_targets import Said, SaidThing
from scripts.train_embedded.world.change import Change

_PLAIN = Pattern.PLAIN


def _one(
    colour: Colour,
    kind: Kind,
    motion: Motion,
    ground: Colour,
    pattern: Pattern = _PLAIN,
    *,
    size: Size = Size.MEDIUM,
    place: Place = Place.MIDDLE,
) -> Said:
    return Said(Change.SCENE, (SaidThing(colour, kind, size, motion, place),), ground, pattern)


def _two(first: SaidThing, second: SaidThing, ground: Colour, pattern: Pattern = _PLAIN) -> Said:
    return Said(Change.SCENE, (first, second), ground, pattern)


def _of_two(colour: Colour, kind: Kind, motion: Motion, size: Size = Size.MEDIUM) -> SaidThing:
    return SaidThing(colour, kind, size, motion, Place.MIDDLE)


def _change(topic: Change, thing: SaidThing) -> Said:
    return Said(topic, (thing,))


PROMPTS: tuple[tuple[str, Said], ...] = (
    ("ball in red, bouncing, blue behind it", _one(Colour.RED, Kind.BALL, Motion.BOUNCE, Colour.BLUE)),
    ("I'd love a green star, rotating, on black!", _one(Colour.GREEN, Kind.STAR, Motion.SPIN, Colour.BLACK)),
    (
        "A yellow square slowly drifts right. White backdrop.",
        _one(Colour.YELLOW, Kind.SQUARE, Motion.RIGHT, Colour.WHITE),
    ),
    ("purple triangle goes up on yellow", _one(Colour.PURPLE, Kind.TRIANGLE, Motion.UP, Colour.YELLOW)),
    (
        "big white ring moving in circles over black stripes",
        _one(Colour.WHITE, Kind.RING, Motion.CIRCLE, Colour.BLACK, Pattern.STRIPES, size=Size.LARGE),
    ),
    ("the background is plain green and a pink star grows", _one(Colour.PINK, Kind.STAR, Motion.GROW, Colour.GREEN)),
    (
        "tiny blue ball at the top, going left, orange background",
        _one(Colour.BLUE, Kind.BALL, Motion.LEFT, Colour.ORANGE, size=Size.SMALL, place=Place.TOP),
    ),
    (
        "An orange box falls down on the left side of a white screen",
        _one(Colour.ORANGE, Kind.SQUARE, Motion.DOWN, Colour.WHITE, place=Place.LEFT),
    ),
    ("cyan disc sits still, red checkerboard", _one(Colour.CYAN, Kind.BALL, Motion.STILL, Colour.RED, Pattern.CHECKS)),
    (
        "Black triangle turning against a pink gradient",
        _one(Colour.BLACK, Kind.TRIANGLE, Motion.SPIN, Colour.PINK, Pattern.GRADIENT),
    ),
    ("on white: red star, moving to the right", _one(Colour.RED, Kind.STAR, Motion.RIGHT, Colour.WHITE)),
    (
        "show a small green triangle hopping, blue backdrop",
        _one(Colour.GREEN, Kind.TRIANGLE, Motion.BOUNCE, Colour.BLUE, size=Size.SMALL),
    ),
    (
        "a huge golden ring expanding in front of purple",
        _one(Colour.YELLOW, Kind.RING, Motion.GROW, Colour.PURPLE, size=Size.LARGE),
    ),
    (
        "violet ball, travels leftwards, checkered green background",
        _one(Colour.PURPLE, Kind.BALL, Motion.LEFT, Colour.GREEN, Pattern.CHECKS),
    ),
    (
        "a blue hoop climbs up the yellow striped background",
        _one(Colour.BLUE, Kind.RING, Motion.UP, Colour.YELLOW, Pattern.STRIPES),
    ),
    ("A red ball bounces.", _one(Colour.RED, Kind.BALL, Motion.BOUNCE, Colour.WHITE)),
    ("white star spinning", _one(Colour.WHITE, Kind.STAR, Motion.SPIN, Colour.BLACK)),
    ("a blue square on white", _one(Colour.BLUE, Kind.SQUARE, Motion.STILL, Colour.WHITE)),
    (
        "a red ball goes up and a blue star goes down on a white background",
        _two(
            _of_two(Colour.RED, Kind.BALL, Motion.UP),
            _of_two(Colour.BLUE, Kind.STAR, Motion.DOWN),
            Colour.WHITE,
        ),
    ),
    (
        "green square moves left, small yellow ring moves right, black background",
        _two(
            _of_two(Colour.GREEN, Kind.SQUARE, Motion.LEFT),
            _of_two(Colour.YELLOW, Kind.RING, Motion.RIGHT, Size.SMALL),
            Colour.BLACK,
        ),
    ),
    (
        "on blue a pink square spins while an orange ball bounces",
        _two(
            _of_two(Colour.PINK, Kind.SQUARE, Motion.SPIN),
            _of_two(Colour.ORANGE, Kind.BALL, Motion.BOUNCE),
            Colour.BLUE,
        ),
    ),
    ("could it turn green now", _change(Change.COLOUR, SaidThing(colour=Colour.GREEN))),
    ("Make the ball blue!", _change(Change.COLOUR, SaidThing(colour=Colour.BLUE, kind=Kind.BALL))),
    ("and now let it be yellow", _change(Change.COLOUR, SaidThing(colour=Colour.YELLOW))),
    ("the star is turning purple", _change(Change.COLOUR, SaidThing(colour=Colour.PURPLE, kind=Kind.STAR))),
    ("move it up", _change(Change.MOTION, SaidThing(motion=Motion.UP))),
    ("now bounce", _change(Change.MOTION, SaidThing(motion=Motion.BOUNCE))),
    ("the square starts to spin", _change(Change.MOTION, SaidThing(kind=Kind.SQUARE, motion=Motion.SPIN))),
    ("Now make the red one go left", _change(Change.MOTION, SaidThing(colour=Colour.RED, motion=Motion.LEFT))),
    ("then it slowly begins falling", _change(Change.MOTION, SaidThing(motion=Motion.DOWN))),
    ("it stops moving", _change(Change.MOTION, SaidThing(motion=Motion.STILL))),
    ("it becomes a star", _change(Change.KIND, SaidThing(kind=Kind.STAR))),
    ("Turn it into a square please", _change(Change.KIND, SaidThing(kind=Kind.SQUARE))),
    ("now the red one is a triangle", _change(Change.KIND, SaidThing(colour=Colour.RED, kind=Kind.TRIANGLE))),
    ("change the background to blue", Said(Change.BACKDROP, (), Colour.BLUE, _PLAIN)),
    ("now with green stripes behind", Said(Change.BACKDROP, (), Colour.GREEN, Pattern.STRIPES)),
    ("The backdrop turns into a red checkerboard.", Said(Change.BACKDROP, (), Colour.RED, Pattern.CHECKS)),
    ("keep going like that", Said(Change.NONE)),
    ("continue please", Said(Change.NONE)),
    ("just carry on", Said(Change.NONE)),
)
