"""Reads prompts in the world's words, whole scenes and changes, as people put them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum, auto
from functools import cache

from fastvideo.eval.world.asked import Asked, AskedThing
from fastvideo.eval.world.lexicon import BACKDROPS, COLOURS, GOING, KINDS, MOTIONS, PLACES, SIZES
from fastvideo.eval.world.scene import Colour, Kind, Motion

# Verbs that mean a motion together with certain words only: "turns" alone is more often followed by a colour.
_EMPTY_VERBS = frozenset({"get", "become", "turn", "float", "hold"})


class _Mark(StrEnum):
    """What the words mean that are no attribute of a thing."""

    ADJECTIVE = auto()  # sizes, which no meter reads
    PLACE = auto()
    BACKDROP = auto()
    CHANGE = auto()  # what follows is new, and of the thing before
    PRONOUN = auto()
    BOTH = auto()
    STOP = auto()
    OTHER = auto()


@dataclass(frozen=True)
class _Verb:
    """A motion in one of its forms; ``plural`` ones may have two things before them."""

    motion: Motion
    participle: bool
    plural: bool


_Meaning = Colour | Kind | _Verb | _Mark


def read_prompt(prompt: str) -> Asked:
    """What ``prompt`` names of one or two things and of the backdrop.

    A prompt of a change ("now it turns green") names what is new, and what it calls the thing. Raises ValueError for
    one that names nothing that the world has, or more than two things.
    """
    reader = _Reader([_meaning(words) for words in _pattern().findall(prompt.lower())])
    reader.read()
    asked = Asked(tuple(thing for thing in reader.things if thing != AskedThing()), reader.backdrop)
    if asked == Asked():
        raise ValueError(
            f"the prompt names nothing of the embedded model's world (colours, shapes, motions): {prompt!r}"
        )
    if len(asked.things) > 2:
        raise ValueError(f"the embedded model's world has at most two things, the prompt names more: {prompt!r}")
    return asked


class _Reader:
    """Goes through the meanings once, from left to right."""

    def __init__(self, meanings: list[_Meaning]) -> None:
        self._meanings = meanings
        self.things: list[AskedThing] = []
        self.backdrop: Colour | None = None
        self._changing = False  # whether what follows is about the thing before, and new
        self._of_backdrop = False  # whether a sentence speaks of the backdrop
        self._both = False

    def read(self) -> None:
        for place, meaning in enumerate(self._meanings):
            match meaning:
                case Kind():
                    self._noun(place, meaning)
                case Colour():
                    self._colour(place, meaning)
                case _Verb():
                    self._verb(place, meaning)
                case _Mark.CHANGE:
                    self._changing = True
                case _Mark.PRONOUN:
                    # "The red one" is a thing, "it" only if there is none yet.
                    if not self.things or any(isinstance(before, Colour) for before in self._before(place)):
                        self.things.append(self._described(place))
                case _Mark.BACKDROP:
                    self._of_backdrop = True
                case _Mark.BOTH:
                    self._both = True
                case _Mark.STOP:
                    self._changing = self._of_backdrop = self._both = False

    def _noun(self, place: int, kind: Kind) -> None:
        described = replace(self._described(place), kind=kind)
        if self._changing and self.things:
            old = self.things[-1]
            colour, motion = described.colour or old.colour, described.motion or old.motion
            self.things[-1] = AskedThing(colour, kind, motion)
        else:
            self.things.append(described)

    def _described(self, place: int) -> AskedThing:
        """The thing of the adjectives right before a noun."""
        thing = AskedThing()
        for meaning in self._before(place):
            if isinstance(meaning, Colour) and thing.colour is None:
                thing = replace(thing, colour=meaning)
            elif isinstance(meaning, _Verb) and thing.motion is None:
                thing = replace(thing, motion=meaning.motion)
        return thing

    def _before(self, place: int) -> list[_Meaning]:
        """The adjectives before a noun, the nearest first."""
        found: list[_Meaning] = []
        for meaning in reversed(self._meanings[:place]):
            if not _is_adjective(meaning):
                break
            found.append(meaning)
        return found

    def _is_before_a_noun(self, place: int) -> bool:
        rest = iter(self._meanings[place + 1 :])
        following = next((meaning for meaning in rest if not _is_adjective(meaning)), None)
        return isinstance(following, Kind) or (following is _Mark.PRONOUN and place > 0)

    def _colour(self, place: int, colour: Colour) -> None:
        if self._is_before_a_noun(place):
            return
        named_backdrop = _Mark.BACKDROP in self._meanings[place + 1 : place + 3]
        if self._changing and self.things and not (self._of_backdrop or named_backdrop):
            self.things[-1] = replace(self.things[-1], colour=colour)
        elif self.backdrop is None:
            self.backdrop = colour

    def _verb(self, place: int, verb: _Verb) -> None:
        if verb.participle and self._is_before_a_noun(place):
            return
        if not self.things:
            self.things.append(AskedThing())
        self.things[-1] = replace(self.things[-1], motion=verb.motion)
        # "A ring and a star spin": both do.
        if (verb.plural or self._both) and not self._changing:
            self.things = [thing if thing.motion else replace(thing, motion=verb.motion) for thing in self.things]


def _is_adjective(meaning: _Meaning) -> bool:
    return (
        isinstance(meaning, Colour) or meaning is _Mark.ADJECTIVE or (isinstance(meaning, _Verb) and meaning.participle)
    )


def _meaning(words: str) -> _Meaning:
    return _meanings().get(words, _Mark.OTHER)


@cache
def _pattern() -> re.Pattern[str]:
    """Known phrases, longer ones first, then any word."""
    phrases = sorted(map(re.escape, _meanings()), key=len, reverse=True)
    return re.compile(rf"(?:\b(?:{'|'.join(phrase for phrase in phrases if phrase[0].isalpha())})\b)|[\w'-]+|[.;!?]")


@cache
def _meanings() -> dict[str, _Meaning]:
    meanings: dict[str, _Meaning] = dict.fromkeys((".", ";", "!", "?"), _Mark.STOP)
    meanings |= dict.fromkeys(("it", "one", "shape", "thing"), _Mark.PRONOUN)
    meanings |= dict.fromkeys(("both", "they"), _Mark.BOTH)
    meanings |= dict.fromkeys(
        ("turns", "turn", "becomes", "become", "changes", "change", "make", "turns into", "turn into"), _Mark.CHANGE
    )
    # "It goes on" and "it keeps going" say that nothing changes, and "on" is no place.
    meanings |= dict.fromkeys(("keeps going", "keep going", "goes on", "on it goes"), _Mark.OTHER)
    backdrop_words = {
        word for texts in BACKDROPS.values() for text in texts for word in text.replace("{colour}", "").split()
    }
    meanings |= dict.fromkeys(backdrop_words - {"a", "in", "with", "plain", "solid"}, _Mark.BACKDROP)
    meanings |= dict.fromkeys(("switch to", "in front of"), _Mark.BACKDROP)
    meanings |= {word: _Mark.ADJECTIVE for words in SIZES.values() for word in words}
    meanings |= {phrase: _Mark.PLACE for phrases in PLACES.values() for phrase in phrases}
    meanings |= {word: colour for colour, words in COLOURS.items() for word in words}
    meanings |= {word: kind for kind, words in KINDS.items() for word in words}
    going = {forms[0] for forms in GOING}
    for motion, verbs in MOTIONS.items():
        for verb in verbs:
            if verb.base in going:
                for forms in GOING:
                    _add_forms(meanings, motion, *forms, verb.rest)
            else:
                _add_forms(meanings, motion, verb.base, verb.third, verb.participle, verb.rest)
                if verb.base not in _EMPTY_VERBS:
                    _add_forms(meanings, motion, verb.base, verb.third, verb.participle, "")
    return meanings


def _add_forms(
    meanings: dict[str, _Meaning], motion: Motion, base: str, third: str, participle: str, rest: str
) -> None:
    for form in (base, third, participle):
        phrase = f"{form} {rest}".strip()
        # "Circle" alone is a noun.
        if phrase not in meanings:
            meanings[phrase] = _Verb(motion, participle=form == participle, plural=form == base)
