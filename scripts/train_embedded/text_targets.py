"""What a caption says, as class numbers: the supervision of the text encoder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fastvideo.eval.world.lexicon import COLOURS, KINDS, PLACES, SIZES
from fastvideo.eval.world.scene import Backdrop, Colour, Kind, Motion, Pattern, Place, Scene, Size, Thing
from scripts.train_embedded.world.change import Change
from scripts.train_embedded.world.story import Shot


@dataclass(frozen=True)
class SaidThing:
    """What is said of one thing; None where nothing is."""

    colour: Colour | None = None
    kind: Kind | None = None
    size: Size | None = None
    motion: Motion | None = None
    place: Place | None = None


@dataclass(frozen=True)
class Said:
    """``topic`` is what the caption is about: SCENE for a whole scene, NONE for going on, else what becomes new.

    Where it is about one thing, that is the first one, with what it is called by and what it becomes.
    """

    topic: Change
    things: tuple[SaidThing, ...] = ()
    backdrop_colour: Colour | None = None
    backdrop_pattern: Pattern | None = None


_THINGS = 2
_THING_ENUMS: dict[str, type[StrEnum]] = {
    "colour": Colour,
    "kind": Kind,
    "size": Size,
    "motion": Motion,
    "place": Place,
}

# Name and number of classes; class 0 of all but the first two is "not said".
ATTRIBUTES: dict[str, int] = {
    "topic": len(Change),
    "things": _THINGS + 1,
    "backdrop_colour": 1 + len(Colour),
    "backdrop_pattern": 1 + len(Pattern),
    **{f"{name}_{i}": 1 + len(enum) for i in (1, 2) for name, enum in _THING_ENUMS.items()},
}


def classes(said: Said) -> list[int]:
    """One class for each of ``ATTRIBUTES``, in its order."""
    things = [*said.things, *[SaidThing()] * (_THINGS - len(said.things))]
    return [
        list(Change).index(said.topic),
        len(said.things),
        _class_of(said.backdrop_colour, Colour),
        _class_of(said.backdrop_pattern, Pattern),
        *(_class_of(getattr(thing, name), enum) for thing in things for name, enum in _THING_ENUMS.items()),
    ]


def whole_scene(scene: Scene, caption: str) -> Said:
    """What a caption of a whole scene says: a size that is not named is medium, a place the middle."""
    things = tuple(
        SaidThing(thing.colour, thing.kind, _said_size(thing, caption), thing.motion, _said_place(thing, caption))
        for thing in scene.things
    )
    return Said(Change.SCENE, things, scene.backdrop.colour, scene.backdrop.pattern)


def said_in(shots: Sequence[Shot]) -> list[Said]:
    """What each caption of a story says. A caption that is repeated says the same again."""
    said: list[Said] = []
    for number, shot in enumerate(shots):
        if number and shot.caption == shots[number - 1].caption:
            said.append(said[-1])
        else:
            said.append(_said(shot))
    return said


def _said(shot: Shot) -> Said:
    scene, caption = shot.segment.scene, shot.caption
    if shot.change in (None, Change.SCENE) or _names_everything(scene, caption):
        return whole_scene(scene, caption)
    if shot.change is Change.BACKDROP:
        return change_of_backdrop(scene.backdrop)
    if shot.change is None or shot.changed is None:
        return Said(Change.NONE)
    thing = scene.things[shot.changed]
    named = [f"the {word}" for word in KINDS[thing.kind]]
    kind = thing.kind if shot.change is Change.KIND or _names(caption, named) else None
    colour = thing.colour if _names(caption, COLOURS[thing.colour]) else None
    motion = thing.motion if shot.change is Change.MOTION else None
    return Said(shot.change, (SaidThing(colour, kind, None, motion),))


def change_of_backdrop(backdrop: Backdrop) -> Said:
    return Said(Change.BACKDROP, (), backdrop.colour, backdrop.pattern)


def _names_everything(scene: Scene, caption: str) -> bool:
    colours = [scene.backdrop.colour, *(thing.colour for thing in scene.things)]
    return all(_names(caption, COLOURS[colour]) for colour in colours)


def _said_size(thing: Thing, caption: str) -> Size:
    named = [f"{size} {colour}" for size in SIZES[thing.size] for colour in COLOURS[thing.colour]]
    return thing.size if _names(caption, named) else Size.MEDIUM


def _said_place(thing: Thing, caption: str) -> Place:
    return thing.place if _names(caption, PLACES.get(thing.place, ())) else Place.MIDDLE


def _names(caption: str, phrases: Iterable[str]) -> bool:
    return any(re.search(rf"\b{re.escape(phrase)}\b", caption, re.IGNORECASE) for phrase in phrases)


def _class_of(value: StrEnum | None, enum: type[StrEnum]) -> int:
    return 0 if value is None else 1 + list(enum).index(value)
