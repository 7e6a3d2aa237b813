"""Captions from a grammar: many wordings for one scene, and for what changes in a continued one.

A caption of a whole scene names every thing's colour, shape and motion, its size unless it is medium and its place
unless it is the middle, and the backdrop's colour (and its pattern, unless it is plain); of two things the first named
is above, or to the left. A caption of a change names just what is new.
"""

from __future__ import annotations

from numpy.random import Generator

from fastvideo.eval.world.lexicon import BACKDROPS, COLOURS, KINDS, MOTIONS, PLACES, SIZES
from fastvideo.eval.world.scene import Motion, Place, Scene, Size, Thing
from scripts.train_embedded.world.change import Change
from scripts.train_embedded.world.choice import pick

_KEEP_GOING = (
    "it keeps going",
    "keep going",
    "it goes on",
    "it carries on",
    "it continues",
    "and on it goes",
    "nothing changes",
    "more of the same",
)
_WHOLE_SCENE_SHARE = 0.35
_SAME_WORDS_SHARE = 0.5
_MEDIUM_SAID_SHARE = 0.15


def opening_caption(scene: Scene, rng: Generator, *, sized: bool = True) -> str:
    """A caption of the whole scene; ``sized`` names sizes and places, which grow out of date as a story goes on."""
    backdrop = _backdrop(scene, rng)
    if len(scene.things) == 2:
        text = _pair(scene, backdrop, rng, sized)
    else:
        text = _single(scene.things[0], backdrop, rng, sized)
    return _finish(text, rng)


def continuation_caption(scene: Scene, change: Change, changed: int | None, caption_before: str, rng: Generator) -> str:
    """A caption for a segment that goes on from another.

    ``scene`` is the new one, ``changed`` the index of the thing that the change is about. Without a change it is
    often the same caption again; with one it names the change alone, or describes the whole new scene.
    """
    if change is Change.NONE:
        if rng.random() < _SAME_WORDS_SHARE:
            return caption_before
        return _finish(pick(rng, _KEEP_GOING), rng)
    if rng.random() < _WHOLE_SCENE_SHARE:
        return opening_caption(scene, rng, sized=False)
    if change is Change.BACKDROP:
        backdrop = _backdrop(scene, rng, bare=False)
        return _finish(
            pick(
                rng,
                (
                    f"now the background becomes {backdrop}",
                    f"the background changes to {backdrop}",
                    f"now it is in front of {backdrop}",
                    f"switch to {backdrop}",
                ),
            ),
            rng,
        )
    if changed is None:
        raise ValueError(f"a change of {change} is about one thing: expected its index, got None")
    thing = scene.things[changed]
    return _finish(_change(thing, change, _reference(scene, changed, change, rng), rng), rng)


def _change(thing: Thing, change: Change, who: str, rng: Generator) -> str:
    colour, kind = pick(rng, COLOURS[thing.colour]), pick(rng, KINDS[thing.kind])
    verb = pick(rng, MOTIONS[thing.motion])
    forms: tuple[str, ...]
    if change is Change.COLOUR:
        forms = (
            f"now {who} turns {colour}",
            f"{who} turns {colour}",
            f"{who} becomes {colour}",
            f"{who} changes its colour to {colour}",
            f"make {who} {colour}",
            f"then {who} turns {colour}",
        )
    elif change is Change.KIND:
        forms = (
            f"now {who} becomes {_article(kind)}",
            f"{who} turns into {_article(kind)}",
            f"{who} changes into {_article(kind)}",
            f"make {who} {_article(kind)}",
        )
    else:
        forms = (
            f"now {who} {verb.finite()}",
            f"{who} {verb.finite()} now",
            f"then {who} {verb.finite()}",
            f"{who} starts {verb.gerund()}",
            f"make {who} {verb.infinitive()}",
            f"now {who} begins to {verb.infinitive()}",
        )
    return pick(rng, forms)


def _reference(scene: Scene, changed: int, change: Change, rng: Generator) -> str:
    """What to call the thing that changes, by what stays: "it" where there is just one."""
    thing = scene.things[changed]
    names = [] if change is Change.KIND else [f"the {pick(rng, KINDS[thing.kind])}"]
    if change is Change.KIND:
        names.append(f"the {pick(rng, COLOURS[thing.colour])} one")
    if len(scene.things) == 1:
        names = ["it", "it", *([] if change is Change.KIND else names), "the shape"]
    return pick(rng, names)


def _single(thing: Thing, backdrop: str, rng: Generator, sized: bool) -> str:
    noun, verb = _noun(thing, rng, sized), pick(rng, MOTIONS[thing.motion])
    before = f"{pick(rng, ('on', 'on', 'against', 'in front of'))} {backdrop}"
    where = f" {pick(rng, PLACES[thing.place])}" if sized and thing.place is not Place.MIDDLE else ""
    one = _article(noun)
    forms = [
        f"{one} {verb.finite()}{where} {before}",
        f"{one}{where} {verb.finite()} {before}",
        f"{before}, {one} {verb.finite()}{where}",
        f"{one} {verb.gerund()}{where} {before}",
        f"{noun}{where} {verb.gerund()} {before}",
        f"{one} {before} {verb.finite()}{where}",
        f"there is {one}{where} {before}. it {verb.finite()}",
        f"{one} {verb.finite()}{where}. it is {before}",
        f"show me {one}{where} that {verb.finite()} {before}",
        f"{noun}, {verb.gerund()}{where}, {backdrop}",
    ]
    if not verb.rest:
        forms += [f"{_article(f'{verb.participle} {noun}')}{where} {before}"] * 2
    return pick(rng, forms)


def _pair(scene: Scene, backdrop: str, rng: Generator, sized: bool) -> str:
    (first, first_verb), (second, second_verb) = (
        (_article(_noun(thing, rng, sized)), pick(rng, MOTIONS[thing.motion])) for thing in scene.things
    )
    before = f"{pick(rng, ('on', 'against', 'in front of'))} {backdrop}"
    forms = (
        f"{first} {first_verb.finite()} and {second} {second_verb.finite()} {before}",
        f"{before}, {first} {first_verb.finite()} and {second} {second_verb.finite()}",
        f"{first} {first_verb.finite()} while {second} {second_verb.finite()} {before}",
        f"{first} {first_verb.gerund()} and {second} {second_verb.gerund()} {before}",
        f"{before}, {first} {first_verb.finite()}. beside it {second} {second_verb.finite()}",
    )
    return pick(rng, forms)


def _noun(thing: Thing, rng: Generator, sized: bool) -> str:
    words = [pick(rng, COLOURS[thing.colour]), pick(rng, KINDS[thing.kind])]
    # A growing thing has no size to name.
    if (
        sized
        and thing.motion is not Motion.GROW
        and (thing.size is not Size.MEDIUM or rng.random() < _MEDIUM_SAID_SHARE)
    ):
        words.insert(0, pick(rng, SIZES[thing.size]))
    return " ".join(words)


def _backdrop(scene: Scene, rng: Generator, *, bare: bool = True) -> str:
    options = [text for text in BACKDROPS[scene.backdrop.pattern] if bare or text != "{colour}"]
    text = pick(rng, options).format(colour=pick(rng, COLOURS[scene.backdrop.colour]))
    head, _, tail = text.partition(" ")
    return _article(tail) if head == "a" else text


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _finish(text: str, rng: Generator) -> str:
    """Most captions as written sentences, some in the plain lower case that people type."""
    if rng.random() < 0.35:
        return text
    return ". ".join(part[0].upper() + part[1:] for part in text.split(". ")) + "."
