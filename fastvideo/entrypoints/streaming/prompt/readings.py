"""A prompt as a word classifier should read it: without what only hides words from it."""

from __future__ import annotations

import re
import unicodedata

MAX_CHARS = 20_000
# A blocked phrase in a long harmless text is read on its own, too, for fastText averages over all words.
WINDOW_WORDS = 16

_TAG_BLOCK = {code: chr(code - 0xE0000) for code in range(0xE0020, 0xE007F)}
# Shown as nothing, though Unicode has them as letters or marks.
_BLANK = dict.fromkeys([0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0xFE00, 0xFE10)], None)
_BLANK.update(dict.fromkeys(range(0xE0100, 0xE01F0), None))
# Accents, on whatever letter; the marks of scripts that need theirs are in blocks of their own.
_ACCENTS = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")
_FOREIGN = re.compile("[\u0370-\u03ff\u0400-\u052f]")
_LATIN = re.compile("[a-z]")
_LOOK_ALIKES = str.maketrans("абвеіјкмнорстухѕԁαβεικνορτυχ", "abbeijkmhopctyxsdabeiknoptux")
_LEET = str.maketrans("013457@$!|", "oieastasil")
# All that is neither letter, digit nor white space.
_SIGNS = re.compile(r"[^\w\s]|_")
_SPELT_OUT = re.compile(r"(?<!\S)\w(?: \w(?!\S)){2,}")
_MARGIN = "\"'.,;:!?()[]{}<>*_~-"


class Unreadable(ValueError):
    """A text that no classifier can judge. The message holds nothing of it."""


def readings(text: str) -> list[str]:
    """One line for each way to read ``text``: as written, in bare lower-case words, and with common disguises undone
    (digits for letters, letters spelt out, look-alikes of another script); long ones also in overlapping parts.

    No line has control characters, fastText's end mark ``</s>`` or its label prefix, after which it would read no
    further. A blank text has no lines. Raises Unreadable for one of more than ``MAX_CHARS`` characters, or with nothing
    to see.
    """
    plain = _plain(text)
    lines = [line for line in (_as_written(plain), _bare(plain), _undisguised(plain)) if line]
    if not lines and text.strip():
        raise Unreadable("it has nothing to read")
    return list(dict.fromkeys(part for line in lines for part in _parts(line)))


def _plain(text: str) -> str:
    if len(text) > MAX_CHARS:
        raise Unreadable(f"expected at most {MAX_CHARS} characters, got {len(text)}")
    # Half a surrogate pair is in no encoding that fastText takes.
    text = text.encode("utf-8", "replace").decode("utf-8").translate(_TAG_BLOCK)
    text = unicodedata.normalize("NFKC", text).translate(_BLANK)
    text = _SIGNS.sub(_visible, text)
    if len(text) > MAX_CHARS:
        raise Unreadable(f"expected at most {MAX_CHARS} characters when written out, got {len(text)}")
    return text


def _visible(sign: re.Match[str]) -> str:
    match unicodedata.category(sign[0]):
        case "Cf":
            return ""
        case "Cc" | "Cn" | "Co":
            return " "
        case _:
            return sign[0]


def _as_written(plain: str) -> str:
    return " ".join(plain.replace("</s>", " ").replace("__label__", " ").split())


def _folded(plain: str) -> str:
    decomposed = unicodedata.normalize("NFD", plain.casefold())
    return unicodedata.normalize("NFC", _ACCENTS.sub("", decomposed))


def _bare(plain: str) -> str:
    return " ".join(_SIGNS.sub(_spaced, _folded(plain)).split())


def _spaced(sign: re.Match[str]) -> str:
    category = unicodedata.category(sign[0])
    # The vowels of some scripts are marks; symbols such as emoji count as words.
    if category[0] == "M":
        return sign[0]
    return f" {sign[0]} " if category == "So" else " "


def _undisguised(plain: str) -> str:
    words = (_undisguised_word(word.strip(_MARGIN)) for word in _folded(plain).split())
    line = " ".join(word for word in words if word)
    return _SPELT_OUT.sub(lambda run: run[0].replace(" ", ""), line)


def _undisguised_word(word: str) -> str:
    if _LATIN.search(word):
        if _FOREIGN.search(word):
            word = word.translate(_LOOK_ALIKES)
        word = word.translate(_LEET)
    return _SIGNS.sub(lambda sign: sign[0] if unicodedata.category(sign[0])[0] in "MS" else "", word)


def _parts(line: str) -> list[str]:
    words = line.split()
    step = WINDOW_WORDS // 2
    starts = range(0, max(len(words) - WINDOW_WORDS, 0) + step, step) if len(words) > WINDOW_WORDS else ()
    return [line, *(" ".join(words[start : start + WINDOW_WORDS]) for start in starts)]
