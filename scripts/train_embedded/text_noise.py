"""What people do to sentences: filler, words left out, punctuation, spelling. Case is the tokenizer's business."""

from __future__ import annotations

import re

from numpy.random import Generator

from scripts.train_embedded.world.choice import pick

_OPENERS = (
    "please show",
    "show",
    "show me",
    "a video of",
    "video of",
    "a short clip of",
    "i want to see",
    "i'd like to see",
    "can you make",
    "could you please draw",
    "make",
    "generate",
    "create",
    "draw",
    "an animation of",
    "imagine",
    "hello,",
    "ok,",
    "and",
    "well,",
)
_CLOSERS = (
    "please",
    "thanks",
    "thank you",
    "in a video",
    "with sound",
    "forever",
    "if you can",
    "again and again",
    "ok",
)
# Words whose absence changes nothing; "on" and "in" are not among them, nor is anything that tells two things apart.
_UNIMPORTANT = frozenset(("a", "an", "the", "there", "is", "it", "that", "now", "then", "its"))
_ARTICLES = frozenset(("a", "an", "the"))
_SPELLINGS = (("travelling", "traveling"), ("chequered", "checkered"), ("colour", "color"), ("donut", "doughnut"))
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SHORTEST_MISSPELT = 4


def disturb(caption: str, rng: Generator) -> str:
    """The caption as somebody might type it. Half of them stay as they are."""
    if rng.random() < 0.5:
        return caption
    for british, american in _SPELLINGS:
        if rng.random() < 0.5:
            caption = caption.replace(british, american)
    words = _without_unimportant(caption.split(), rng)
    if rng.random() < 0.2:
        words = [misspelt(word, rng) if rng.random() < 0.15 else word for word in words]
    text = " ".join(words)
    if rng.random() < 0.25:
        text = f"{pick(rng, _OPENERS)} {text[0].lower() + text[1:]}"
    draw = rng.random()
    if draw < 0.25:
        text = re.sub(r"[.,:;]", "", text)
    elif draw < 0.4:
        text = text.rstrip(".") + pick(rng, ("!", "...", ";", " ."))
    if rng.random() < 0.1:
        text = f"{text.rstrip('.')}{pick(rng, ('', ','))} {pick(rng, _CLOSERS)}"
    return text


def misspelt(word: str, rng: Generator) -> str:
    """One letter doubled, left out, exchanged with the next or mistaken; the first stays, short words stay whole."""
    if len(word) < _SHORTEST_MISSPELT or not word.isalpha():
        return word
    at = int(rng.integers(1, len(word) - 1))
    before, letter, after = word[:at], word[at], word[at + 1 :]
    return before + pick(
        rng, (letter * 2 + after, after, after[0] + letter + after[1:], pick(rng, list(_LETTERS)) + after)
    )


def _without_unimportant(words: list[str], rng: Generator) -> list[str]:
    leave_out = _ARTICLES if rng.random() < 0.2 else frozenset[str]()
    share = 0.3 if rng.random() < 0.25 else 0.0
    kept = [
        word
        for word in words
        if word.lower() not in leave_out and not (word.lower() in _UNIMPORTANT and rng.random() < share)
    ]
    return kept or words
