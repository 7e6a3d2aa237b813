"""The world's words: what each attribute may be called."""

from __future__ import annotations

from dataclasses import dataclass

from fastvideo.eval.world.scene import Colour, Kind, Motion, Pattern, Place, Size


@dataclass(frozen=True)
class Verb:
    """Forms of a verb and the words after it: "glide", "glides", "gliding" + "to the left"."""

    base: str
    third: str
    participle: str
    rest: str = ""

    def finite(self) -> str:
        return f"{self.third} {self.rest}".strip()

    def infinitive(self) -> str:
        return f"{self.base} {self.rest}".strip()

    def gerund(self) -> str:
        return f"{self.participle} {self.rest}".strip()


COLOURS: dict[Colour, tuple[str, ...]] = {
    Colour.RED: ("red", "red", "crimson", "scarlet"),
    Colour.ORANGE: ("orange", "orange", "tangerine"),
    Colour.YELLOW: ("yellow", "yellow", "golden"),
    Colour.GREEN: ("green", "green", "emerald"),
    Colour.CYAN: ("cyan", "cyan", "turquoise", "aqua"),
    Colour.BLUE: ("blue", "blue", "royal blue"),
    Colour.PURPLE: ("purple", "purple", "violet"),
    Colour.PINK: ("pink", "pink", "rose"),
    Colour.WHITE: ("white", "white", "snow-white"),
    Colour.BLACK: ("black", "black", "jet-black"),
}

KINDS: dict[Kind, tuple[str, ...]] = {
    Kind.BALL: ("ball", "ball", "circle", "disc", "sphere"),
    Kind.SQUARE: ("square", "square", "box", "block"),
    Kind.TRIANGLE: ("triangle", "triangle", "pyramid"),
    Kind.STAR: ("star",),
    Kind.RING: ("ring", "ring", "hoop", "donut"),
}

SIZES: dict[Size, tuple[str, ...]] = {
    Size.SMALL: ("small", "little", "tiny"),
    Size.MEDIUM: ("medium", "medium-sized"),
    Size.LARGE: ("large", "big", "huge"),
}

GOING = (
    ("move", "moves", "moving"),
    ("glide", "glides", "gliding"),
    ("drift", "drifts", "drifting"),
    ("travel", "travels", "travelling"),
    ("go", "goes", "going"),
    ("slide", "slides", "sliding"),
)


def _going(*rests: str) -> tuple[Verb, ...]:
    return tuple(Verb(*forms, rest) for forms in GOING for rest in rests)


MOTIONS: dict[Motion, tuple[Verb, ...]] = {
    Motion.LEFT: _going("left", "to the left", "leftwards", "from right to left"),
    Motion.RIGHT: _going("right", "to the right", "rightwards", "from left to right"),
    Motion.UP: (
        *_going("up", "upwards"),
        Verb("rise", "rises", "rising"),
        Verb("climb", "climbs", "climbing"),
        Verb("float", "floats", "floating", "up"),
    ),
    Motion.DOWN: (
        *_going("down", "downwards"),
        Verb("sink", "sinks", "sinking"),
        Verb("descend", "descends", "descending"),
        Verb("fall", "falls", "falling", "slowly"),
    ),
    Motion.BOUNCE: (
        Verb("bounce", "bounces", "bouncing"),
        Verb("bounce", "bounces", "bouncing"),
        Verb("bounce", "bounces", "bouncing", "up and down"),
        Verb("hop", "hops", "hopping"),
        Verb("jump", "jumps", "jumping", "up and down"),
    ),
    Motion.CIRCLE: (
        Verb("move", "moves", "moving", "in a circle"),
        Verb("go", "goes", "going", "in circles"),
        Verb("go", "goes", "going", "round and round"),
        Verb("circle", "circles", "circling", "around"),
        Verb("orbit", "orbits", "orbiting"),
    ),
    Motion.GROW: (
        Verb("grow", "grows", "growing"),
        Verb("grow", "grows", "growing"),
        Verb("get", "gets", "getting", "bigger"),
        Verb("become", "becomes", "becoming", "larger"),
        Verb("expand", "expands", "expanding"),
    ),
    Motion.SPIN: (
        Verb("spin", "spins", "spinning"),
        Verb("spin", "spins", "spinning"),
        Verb("rotate", "rotates", "rotating"),
        Verb("turn", "turns", "turning", "on the spot"),
        Verb("whirl", "whirls", "whirling"),
    ),
    Motion.STILL: (
        Verb("stand", "stands", "standing", "still"),
        Verb("stay", "stays", "staying", "still"),
        Verb("stay", "stays", "staying", "in place"),
        Verb("rest", "rests", "resting"),
        Verb("hold", "holds", "holding", "still"),
    ),
}

# The middle goes without saying.
PLACES: dict[Place, tuple[str, ...]] = {
    Place.LEFT: ("on the left side", "at the left side", "on the left-hand side"),
    Place.RIGHT: ("on the right side", "at the right side", "on the right-hand side"),
    Place.TOP: ("at the top", "near the top", "along the top"),
    Place.BOTTOM: ("at the bottom", "near the bottom", "along the bottom"),
}

# "{colour}" stands for a colour word; each reads after "on" or "against".
BACKDROPS: dict[Pattern, tuple[str, ...]] = {
    Pattern.PLAIN: (
        "a {colour} background",
        "a {colour} background",
        "a plain {colour} background",
        "a solid {colour} background",
        "{colour}",
        "a {colour} backdrop",
    ),
    Pattern.GRADIENT: (
        "a {colour} gradient",
        "a {colour} gradient background",
        "a background shaded in {colour}",
        "a shaded {colour} background",
    ),
    Pattern.STRIPES: (
        "{colour} stripes",
        "a striped {colour} background",
        "a {colour} background with stripes",
        "a {colour} striped backdrop",
    ),
    Pattern.CHECKS: (
        "a chequered {colour} background",
        "a checkered {colour} background",
        "a {colour} checkerboard",
        "a {colour} background with checks",
    ),
}
