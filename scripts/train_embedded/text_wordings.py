"""Wordings of people's own, beside the world's grammar: telegraphic ones, orders, and what goes without saying.

The words are those of the lexicon and a few more of each kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from numpy.random import Generator

from fastvideo.eval.world.lexicon import COLOURS, KINDS, MOTIONS, PLACES, SIZES, Verb
from fastvideo.eval.world.scene import Backdrop, Colour, Kind, Motion, Pattern, Place, Scene, Size, Thing
from scripts.train_embedded.text_targets import Said, SaidThing, change_of_backdrop
from scripts.train_embedded.world.change import Change
from scripts.train_embedded.world.choice import pick
from scripts.train_embedded.world.story import Shot

_MORE_COLOURS: dict[Colour, tuple[str, ...]] = {
    Colour.RED: ("bright red", "dark red", "ruby", "maroon"),
    Colour.ORANGE: ("bright orange", "amber"),
    Colour.YELLOW: ("bright yellow", "gold", "lemon"),
    Colour.GREEN: ("dark green", "bright green", "light green", "lime", "mint"),
    Colour.CYAN: ("light blue", "sky blue", "teal", "bright cyan"),
    Colour.BLUE: ("dark blue", "bright blue", "deep blue", "navy"),
    Colour.PURPLE: ("dark purple", "bright purple", "lavender", "indigo"),
    Colour.PINK: ("light pink", "bright pink", "hot pink", "magenta"),
    Colour.WHITE: ("bright white", "snowy"),
    Colour.BLACK: ("pitch black", "dark black"),
}
_MORE_KINDS: dict[Kind, tuple[str, ...]] = {
    Kind.BALL: ("dot", "disk", "bubble", "orb"),
    Kind.SQUARE: ("cube", "rectangle", "tile"),
    Kind.TRIANGLE: ("triangle",),
    Kind.STAR: ("five-pointed star", "starlet"),
    Kind.RING: ("doughnut", "hollow circle"),
}
_MORE_SIZES: dict[Size, tuple[str, ...]] = {
    Size.SMALL: ("mini",),
    Size.MEDIUM: ("normal-sized", "mid-sized"),
    Size.LARGE: ("giant", "very big"),
}
_SIDEWAYS = (
    ("fly", "flies", "flying"),
    ("head", "heads", "heading"),
    ("roll", "rolls", "rolling"),
    ("run", "runs", "running"),
)
_MORE_MOTIONS: dict[Motion, tuple[Verb, ...]] = {
    Motion.LEFT: tuple(Verb(*forms, "left") for forms in _SIDEWAYS),
    Motion.RIGHT: tuple(Verb(*forms, "right") for forms in _SIDEWAYS),
    Motion.UP: (
        Verb("go", "goes", "going", "to the top"),
        Verb("fly", "flies", "flying", "up"),
        Verb("ascend", "ascends", "ascending"),
    ),
    Motion.DOWN: (
        Verb("fall", "falls", "falling"),
        Verb("fall", "falls", "falling", "down"),
        Verb("drop", "drops", "dropping"),
    ),
    Motion.BOUNCE: (
        Verb("jump", "jumps", "jumping"),
        Verb("bounce", "bounces", "bouncing", "on the floor"),
        Verb("leap", "leaps", "leaping"),
    ),
    Motion.CIRCLE: (
        Verb("circle", "circles", "circling"),
        Verb("move", "moves", "moving", "in circles"),
        Verb("go", "goes", "going", "around"),
        Verb("fly", "flies", "flying", "in a circle"),
    ),
    Motion.GROW: (
        Verb("get", "gets", "getting", "larger"),
        Verb("become", "becomes", "becoming", "bigger"),
        Verb("grow", "grows", "growing", "bigger"),
        Verb("swell", "swells", "swelling"),
    ),
    Motion.SPIN: (
        Verb("turn", "turns", "turning", "around itself"),
        Verb("rotate", "rotates", "rotating", "in place"),
        Verb("spin", "spins", "spinning", "around"),
        Verb("twirl", "twirls", "twirling"),
    ),
    Motion.STILL: (
        Verb("be", "is", "being", "still"),
        Verb("stop", "stops", "stopping"),
        Verb("sit", "sits", "sitting", "still"),
        Verb("stay", "stays", "staying", "where it is"),
        Verb("wait", "waits", "waiting"),
    ),
}
# What is done to a thing, "{who}".
_ORDERS: dict[Motion, tuple[str, ...]] = {
    Motion.LEFT: ("move {who} left", "send {who} to the left", "push {who} left"),
    Motion.RIGHT: ("move {who} right", "send {who} to the right", "push {who} right"),
    Motion.UP: ("move {who} up", "lift {who}", "send {who} up"),
    Motion.DOWN: ("move {who} down", "lower {who}", "drop {who}"),
    Motion.BOUNCE: ("bounce {who}", "let {who} hop about"),
    Motion.CIRCLE: ("move {who} in a circle", "move {who} around"),
    Motion.GROW: ("make {who} bigger", "make {who} larger", "enlarge {who}"),
    Motion.SPIN: ("spin {who}", "rotate {who}", "turn {who} around"),
    Motion.STILL: ("stop {who}", "hold {who} still", "freeze {who}"),
}
_MORE_PLACES: dict[Place, tuple[str, ...]] = {
    Place.LEFT: ("on the left", "in the left half", "at the left edge", "left of the middle"),
    Place.RIGHT: ("on the right", "in the right half", "at the right edge", "right of the middle"),
    Place.TOP: ("in the upper half", "at the top of the picture", "above the middle"),
    Place.BOTTOM: ("in the lower half", "at the bottom of the picture", "below the middle"),
    Place.MIDDLE: ("in the middle", "in the centre", "in the center"),
}
_GOING_ON = (
    "continue",
    "go on",
    "carry on",
    "again",
    "same again",
    "keep it going",
    "and so on",
    "don't change anything",
    "no change",
    "leave it as it is",
    "next",
    "more",
    "it keeps doing that",
    "let it go on",
)
_OWN_WORDS_SHARE = 0.3
_LEAVES_OUT_SHARE = 0.4
_SAYS_THE_USUAL_SHARE = 0.15


def own_wording(shot: Shot, rng: Generator) -> tuple[str, Said]:
    """A caption of the shot that the grammar does not make, and what it says."""
    scene = shot.segment.scene
    if shot.change in (None, Change.SCENE):
        return _whole(scene, rng)
    if shot.change is Change.NONE:
        return pick(rng, _GOING_ON), Said(Change.NONE)
    if shot.change is Change.BACKDROP:
        return _new_backdrop(scene.backdrop, rng), change_of_backdrop(scene.backdrop)
    if shot.changed is None:
        raise ValueError(f"a change of {shot.change} is about one thing: expected its index, got None")
    return _changed(scene, scene.things[shot.changed], shot.change, rng)


def usual_backdrop(things: tuple[Thing, ...]) -> Backdrop:
    """What is meant where no backdrop is named: plain white, or black behind what does not stand out from white."""
    white = Backdrop(Pattern.PLAIN, Colour.WHITE)
    stands_out = all(white.contrasts_with(thing.colour) for thing in things)
    return white if stands_out else Backdrop(Pattern.PLAIN, Colour.BLACK)


def _whole(scene: Scene, rng: Generator) -> tuple[str, Said]:
    things = scene.things
    named = [_noun(thing, rng) for thing in things]
    text = _one(things[0], named[0], rng) if len(things) == 1 else _two(things, named, rng)
    if scene.backdrop != usual_backdrop(things) or rng.random() >= _LEAVES_OUT_SHARE:
        text = _with_backdrop(text, scene.backdrop, rng)
    said = tuple(SaidThing(thing.colour, thing.kind, thing.size, thing.motion, thing.place) for thing in things)
    return text, Said(Change.SCENE, said, scene.backdrop.colour, scene.backdrop.pattern)


def _one(thing: Thing, noun: str, rng: Generator) -> str:
    where = _where(thing, rng)
    if thing.motion is Motion.STILL and rng.random() < _LEAVES_OUT_SHARE:
        return pick(rng, (f"{noun}{where}", f"a {noun}{where}", f"just a {noun}{where}", f"there is a {noun}{where}"))
    verb = _verb(thing.motion, rng)
    forms = [
        f"{noun} {verb.gerund()}{where}",
        f"{noun}{where} {verb.gerund()}",
        f"{noun}{where}, {verb.gerund()}",
        f"a {noun} {verb.gerund()}{where}",
        f"a {noun}{where} {verb.finite()}",
        f"the {noun} {verb.finite()}{where}",
        f"{noun}{where} that {verb.finite()}",
        f"a {noun} which {verb.finite()}{where}",
        f"a {noun} is {verb.gerund()}{where}",
        f"a {noun}{where}, and it {verb.finite()}",
        f"{noun} {verb.infinitive()}{where}",
        f"{verb.gerund()} {noun}{where}",
    ]
    return pick(rng, forms)


def _two(things: Sequence[Thing], nouns: Sequence[str], rng: Generator) -> str:
    (first, second), (verb, other) = nouns, (_verb(thing.motion, rng) for thing in things)
    forms = [
        f"{first} {verb.gerund()} and {second} {other.gerund()}",
        f"{first} {verb.gerund()}, {second} {other.gerund()}",
        f"a {first} {verb.finite()}, a {second} {other.finite()}",
        f"a {first} that {verb.finite()} and a {second} that {other.finite()}",
        f"two shapes: a {first} {verb.gerund()} and a {second} {other.gerund()}",
        f"a {first} is {verb.gerund()} next to a {second} that is {other.gerund()}",
    ]
    if any(thing.motion.direction[0] for thing in things):
        forms += [
            f"a {first} {verb.finite()} above a {second} that {other.finite()}",
            f"at the top a {first} {verb.gerund()}, at the bottom a {second} {other.gerund()}",
            f"below a {first} that {verb.finite()} a {second} {other.finite()}",
        ]
    else:
        forms += [
            f"a {first} {verb.finite()} to the left of a {second} that {other.finite()}",
            f"on the left a {first} {verb.gerund()}, on the right a {second} {other.gerund()}",
            f"a {first} {verb.finite()}, and to the right of it a {second} {other.finite()}",
        ]
    return pick(rng, forms)


def _with_backdrop(text: str, backdrop: Backdrop, rng: Generator) -> str:
    bare = _bare_backdrop(backdrop, rng)
    colour = _colour(backdrop.colour, rng)
    forms = [
        f"{text} {bare}",
        f"{text}, {bare}",
        f"{text} on {bare}",
        f"{text} over a {bare}",
        f"{text} in front of a {bare}",
        f"{text} with a {bare}",
        f"{text} with {bare} behind it",
        f"{bare}, {text}",
        f"{bare} with {text}",
        f"on a {bare} {text}",
        f"{text}. background: {bare}",
        f"{text}. the background is {_predicate(backdrop, rng)}",
        f"background is {_predicate(backdrop, rng)}. {text}",
    ]
    if backdrop.pattern is Pattern.PLAIN:
        forms += [f"{text} on {colour}", f"{colour} background, {text}", f"{text}, all {colour} behind"]
    return pick(rng, forms)


def _bare_backdrop(backdrop: Backdrop, rng: Generator) -> str:
    colour = _colour(backdrop.colour, rng)
    ground = pick(rng, ("background", "background", "backdrop", "screen", "wall", "bg"))
    forms = {
        Pattern.PLAIN: (
            f"{colour} {ground}",
            f"{colour} {ground}",
            f"plain {colour} {ground}",
            f"flat {colour} {ground}",
        ),
        Pattern.GRADIENT: (
            f"{colour} gradient",
            f"{colour} gradient {ground}",
            f"shaded {colour} {ground}",
            f"fading {colour} {ground}",
        ),
        Pattern.STRIPES: (
            f"{colour} stripes",
            f"striped {colour} {ground}",
            f"{colour} striped {ground}",
            f"{colour} lines",
        ),
        Pattern.CHECKS: (
            f"{colour} checks",
            f"checkered {colour} {ground}",
            f"{colour} checkerboard {ground}",
            f"{colour} chessboard",
            f"{colour} checked {ground}",
        ),
    }
    return pick(rng, forms[backdrop.pattern])


def _predicate(backdrop: Backdrop, rng: Generator) -> str:
    colour = _colour(backdrop.colour, rng)
    forms = {
        Pattern.PLAIN: (colour, f"plain {colour}", f"all {colour}"),
        Pattern.GRADIENT: (f"a {colour} gradient", f"shaded {colour}", f"shaded in {colour}"),
        Pattern.STRIPES: (f"striped {colour}", f"{colour} with stripes", f"{colour} stripes", f"{colour} and striped"),
        Pattern.CHECKS: (
            f"chequered {colour}",
            f"{colour} with checks",
            f"{colour} checks",
            f"a {colour} checkerboard",
        ),
    }
    return pick(rng, forms[backdrop.pattern])


def _new_backdrop(backdrop: Backdrop, rng: Generator) -> str:
    bare, predicate = _bare_backdrop(backdrop, rng), _predicate(backdrop, rng)
    ground = pick(rng, ("background", "backdrop"))
    forms = (
        f"make the {ground} {predicate}",
        f"turn the {ground} {predicate}",
        f"the {ground} turns {predicate}",
        f"change the {ground} to {predicate}",
        f"now the {ground} is {predicate}",
        f"the {ground} should be {predicate}",
        f"{bare} now",
        f"now {bare}",
        f"new background: {bare}",
        f"give it a {bare}",
        f"put it on a {bare}",
        f"{ground} becomes {predicate}",
    )
    return pick(rng, forms)


def _changed(scene: Scene, thing: Thing, change: Change, rng: Generator) -> tuple[str, Said]:
    who, known = _reference(scene, thing, change, rng)
    colour, kind, verb = _colour(thing.colour, rng), _kind(thing.kind, rng), _verb(thing.motion, rng)
    forms: tuple[str, ...]
    if change is Change.COLOUR:
        forms = (
            f"turn {who} {colour}",
            f"{who} should be {colour}",
            f"{who} is {colour} now",
            f"now {who} is {colour}",
            f"change {who} to {colour}",
            f"paint {who} {colour}",
            f"colour {who} {colour}",
            f"i want {who} to be {colour}",
            f"let {who} become {colour}",
            f"{who} goes {colour}",
            f"change the colour of {who} to {colour}",
            f"could {who} turn {colour}",
            f"{who} is turning {colour}",
        )
        known = replace(known, colour=thing.colour)
    elif change is Change.KIND:
        forms = (
            f"turn {who} into a {kind}",
            f"change {who} into a {kind}",
            f"{who} should be a {kind}",
            f"{who} is a {kind} now",
            f"now {who} is a {kind}",
            f"{who} transforms into a {kind}",
            f"{who} morphs into a {kind}",
            f"replace {who} with a {kind}",
            f"let {who} become a {kind}",
            f"i want {who} to be a {kind}",
        )
        known = replace(known, kind=thing.kind)
    else:
        forms = (
            f"let {who} {verb.infinitive()}",
            f"{who} should {verb.infinitive()}",
            f"{who} is {verb.gerund()} now",
            f"now {who} is {verb.gerund()}",
            f"i want {who} to {verb.infinitive()}",
            f"have {who} {verb.infinitive()}",
            f"next {who} {verb.finite()}",
            f"suddenly {who} {verb.finite()}",
            f"{who} {verb.finite()} from here on",
            f"and then {who} {verb.finite()}",
            f"{who} starts to {verb.infinitive()}",
            f"can {who} {verb.infinitive()}",
            *(order.format(who=who) for order in _ORDERS[thing.motion]),
        )
        if known == SaidThing():
            forms += (
                verb.infinitive(),
                f"now {verb.infinitive()}",
                f"{verb.infinitive()} now",
                f"start {verb.gerund()}",
            )
        known = replace(known, motion=thing.motion)
    return pick(rng, forms), Said(change, (known,))


def _reference(scene: Scene, thing: Thing, change: Change, rng: Generator) -> tuple[str, SaidThing]:
    """What the thing is called, and what that says of it; only "it" and its like say nothing."""
    options: list[tuple[str, SaidThing]] = []
    colour, kind = _colour(thing.colour, rng), _kind(thing.kind, rng)
    if change is not Change.KIND:
        options.append((f"the {kind}", SaidThing(kind=thing.kind)))
    if change is not Change.COLOUR:
        options.append((f"the {colour} one", SaidThing(colour=thing.colour)))
        options.append((f"the {colour} shape", SaidThing(colour=thing.colour)))
    if change is Change.MOTION:
        options.append((f"the {colour} {kind}", SaidThing(thing.colour, thing.kind)))
    if len(scene.things) == 1:
        options += [(word, SaidThing()) for word in ("it", "it", "it", "this", "the thing", "the object")]
    return pick(rng, options)


def _noun(thing: Thing, rng: Generator) -> str:
    noun = f"{_colour(thing.colour, rng)} {_kind(thing.kind, rng)}"
    goes_without_saying = thing.size is Size.MEDIUM and rng.random() >= _SAYS_THE_USUAL_SHARE
    return noun if thing.motion is Motion.GROW or goes_without_saying else f"{_size(thing.size, rng)} {noun}"


def _where(thing: Thing, rng: Generator) -> str:
    if thing.place is Place.MIDDLE:
        says = rng.random() < _SAYS_THE_USUAL_SHARE
        return f" {pick(rng, _MORE_PLACES[thing.place])}" if says else ""
    return f" {pick(rng, PLACES[thing.place] if rng.random() < 0.5 else _MORE_PLACES[thing.place])}"


def _own(rng: Generator) -> bool:
    return bool(rng.random() < _OWN_WORDS_SHARE)


def _colour(colour: Colour, rng: Generator) -> str:
    return pick(rng, _MORE_COLOURS[colour] if _own(rng) else COLOURS[colour])


def _kind(kind: Kind, rng: Generator) -> str:
    return pick(rng, _MORE_KINDS[kind] if _own(rng) else KINDS[kind])


def _size(size: Size, rng: Generator) -> str:
    return pick(rng, _MORE_SIZES[size] if _own(rng) else SIZES[size])


def _verb(motion: Motion, rng: Generator) -> Verb:
    return pick(rng, _MORE_MOTIONS[motion] if _own(rng) else MOTIONS[motion])
