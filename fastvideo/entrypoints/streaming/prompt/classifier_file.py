"""The layout of a fastText model file, read before its C++ loader, which trusts every count it finds.

Layout: fastText 0.9's ``FastText::saveModel`` and the ``save`` functions below it, format version 12, little-endian.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

MAGIC = 793_712_314
VERSION = 12
LABEL_PREFIX = "__label__"
_SUPERVISED = 3
_LOSSES = {1: "hs", 2: "ns", 3: "softmax", 4: "ova"}
_CENTROIDS = 256
_MAX_COUNT = 10**12


class ClassifierFileInvalid(Exception):
    """What is wrong with the file, as the end of a sentence about it."""


@dataclass(frozen=True, slots=True)
class ClassifierFile:
    """What a supervised model's file says of itself. ``labels`` are without fastText's prefix."""

    labels: tuple[str, ...]
    dimension: int
    words: int
    loss: str


def read_classifier_file(path: Path) -> ClassifierFile:
    """The description of a file that is whole: every count fits, and the last matrix ends where the file does.

    Takes a moment for a large dictionary. Raises ClassifierFileInvalid, or OSError when it cannot be read.
    """
    if not path.is_file():
        raise ClassifierFileInvalid("is not there" if not path.exists() else "is no regular file")
    with path.open("rb") as file:
        if path.stat().st_size < 8:
            raise ClassifierFileInvalid("is no fastText model")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Layout(data).read()


class _Layout:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def read(self) -> ClassifierFile:
        magic, version = self._take("<ii")
        if magic != MAGIC:
            raise ClassifierFileInvalid("is no fastText model")
        if version != VERSION:
            raise ClassifierFileInvalid(f"has format {version}, expected {VERSION}: save it with fastText 0.9")
        dimension, _, _, _, _, ngrams, loss, kind, bucket, _, longest, _, _ = self._take("<12id")
        if kind != _SUPERVISED:
            raise ClassifierFileInvalid("holds word vectors, expected a supervised classifier")
        self._expect(dimension > 0 and loss in _LOSSES and bucket >= 0)
        # Hashes of n-grams are taken modulo this number.
        self._expect(bucket > 0 or (ngrams <= 1 and longest <= 0))
        words, labels, pruned = self._dictionary(bucket)
        quantized = self._flag()
        rows = words + (bucket if pruned is None else pruned)
        self._expect(quantized or pruned is None)
        self._matrix(rows, dimension, quantized)
        self._matrix(len(labels), dimension, self._flag() and quantized)
        if self._at != len(self._data):
            raise ClassifierFileInvalid(f"has {len(self._data) - self._at} bytes after its end")
        return ClassifierFile(labels, dimension, words, _LOSSES[loss])

    def _dictionary(self, bucket: int) -> tuple[int, tuple[str, ...], int | None]:
        size, words, labels, _, pruned = self._take("<iiiqq")
        self._expect(words >= 0 and labels > 0 and size == words + labels and -1 <= pruned <= bucket)
        # Each entry has at least an end mark, a count and a kind: 10 bytes.
        self._expect(size <= (len(self._data) - self._at) // 10)
        names = []
        for index in range(size):
            end = self._data.find(b"\0", self._at)
            self._expect(end >= 0)
            name = self._data[self._at : end]
            self._at = end + 1
            count, kind = self._take("<qb")
            # Words come first; labels are found by their place after them.
            self._expect(kind == int(index >= words))
            if kind:
                self._expect(0 < count <= _MAX_COUNT)
                names.append(name)
        for _ in range(max(pruned, 0)):
            _, place = self._take("<ii")
            self._expect(0 <= place < pruned)
        try:
            decoded = tuple(name.decode("utf-8").removeprefix(LABEL_PREFIX) for name in names)
        except UnicodeDecodeError:
            raise ClassifierFileInvalid("has labels that are no text") from None
        self._expect(len(set(decoded)) == labels)
        return words, decoded, None if pruned < 0 else pruned

    def _matrix(self, rows: int, columns: int, quantized: bool) -> None:
        if not quantized:
            self._expect(self._take("<qq") == (rows, columns))
            return self._skip(rows * columns * 4)
        normed = self._flag()
        m, n, codes = self._take("<qqi")
        self._expect((m, n) == (rows, columns) and codes >= 0)
        self._skip(codes)
        parts = self._quantizer(columns)
        self._expect(codes == rows * parts)
        if normed:
            self._skip(rows)
            self._expect(self._quantizer(1) == 1)
        return None

    def _quantizer(self, dimension: int) -> int:
        dim, parts, part, last = self._take("<4i")
        self._expect(dim == dimension and 0 < part <= dim)
        self._expect(parts == -(-dim // part) and last == dim - (parts - 1) * part)
        self._skip(dim * _CENTROIDS * 4)
        return int(parts)

    def _flag(self) -> bool:
        (value,) = self._take("<B")
        self._expect(value in (0, 1))
        return bool(value)

    def _take(self, layout: str) -> tuple[int, ...]:
        start = self._at
        self._skip(struct.calcsize(layout))
        return struct.unpack_from(layout, self._data, start)

    def _skip(self, size: int) -> None:
        self._at += size
        if self._at > len(self._data):
            raise ClassifierFileInvalid("ends too early: it is cut off or damaged")

    def _expect(self, holds: bool) -> None:
        if not holds:
            raise ClassifierFileInvalid(f"is damaged before its byte {self._at}")
