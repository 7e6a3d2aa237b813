"""Inputs that are nearly right: seeds with bytes changed, cut, repeated, spliced, or replaced by numbers at borders."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

_BORDERS = (0, 1, 7, 8, 15, 16, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)
_FORMATS = ("B", ">H", "<H", ">I", "<I", ">Q", "<Q")
_MOST_BYTES = 1 << 16


def mutate(seeds: Sequence[bytes], words: Sequence[bytes], chance: random.Random) -> bytes:
    """One of ``seeds`` after one to six changes; ``words``: what means something in this format."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 6)):
        chance.choice(_CHANGES)(data, seeds, words, chance)
    return bytes(data[:_MOST_BYTES])


def _place(data: bytearray, chance: random.Random) -> int:
    return chance.randrange(len(data) + 1)


def _flip(data: bytearray, seeds: Sequence[bytes], words: Sequence[bytes], chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _overwrite(data: bytearray, seeds: Sequence[bytes], words: Sequence[bytes], chance: random.Random) -> None:
    at = _place(data, chance)
    data[at : at + chance.randint(1, 8)] = chance.randbytes(chance.randint(0, 8))


def _number(data: bytearray, seeds: Sequence[bytes], words: Sequence[bytes], chance: random.Random) -> None:
    layout = chance.choice(_FORMATS)
    size, at = struct.calcsize(layout), _place(data, chance)
    most = (1 << 8 * size) - 1
    data[at : at + size] = struct.pack(layout, most if chance.random() < 0.2 else chance.choice(_BORDERS) & most)


def _cut(data: bytearray, seeds: Sequence[bytes], words: Sequence[bytes], chance: random.Random) -> None:
    del data[_place(data, chance) :]


def _leave_out(data: bytearray, seeds: Sequence[bytes], words: Sequence[bytes], chance: random.Random) -> None:
    at = _place(data, chance)
    del data[at : at + chance.randint(1, 64)]


def _repeat(data: bytearray, seeds: Sequence[bytes], words: Sequence[bytes], chance: random.Random) -> None:
    at = _place(data, chance)
    data[at:at] = data[at : at + chance.randint(1, 64)] * chance.choice((1, 2, 8, 64))


def _splice(data: bytearray, seeds: Sequence[bytes], words: Sequence[bytes], chance: random.Random) -> None:
    other = chance.choice(seeds)
    begin = chance.randrange(len(other) + 1)
    at = _place(data, chance)
    data[at : at + chance.randint(0, 64)] = other[begin : begin + chance.randint(1, 256)]


def _word(data: bytearray, seeds: Sequence[bytes], words: Sequence[bytes], chance: random.Random) -> None:
    at, word = _place(data, chance), chance.choice(words)
    data[at : at + chance.choice((0, len(word)))] = word


_CHANGES: tuple[Callable[[bytearray, Sequence[bytes], Sequence[bytes], random.Random], None], ...] = (
    *(_flip, _overwrite, _number, _cut, _leave_out, _repeat, _splice, _word),
)
