"""The ``Range`` header of a request for one file (RFC 9110, 14.1.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"bytes=[ \t]*(\d*)-(\d*)[ \t]*", re.IGNORECASE | re.ASCII)
_MAX_DIGITS = 18


@dataclass(frozen=True)
class ByteRange:
    """Bytes ``first`` to ``last``, both of them included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """How many bytes."""
        return self.last - self.first + 1


class RangeNotSatisfiable(Exception):
    """The header asks for bytes that are not there."""


def read_range(header: str | None, size: int) -> ByteRange | None:
    """The one range that is asked for; None for the whole file: without a header, and for one with another unit, with
    several ranges, or of no meaning, which a server may pass over. Raises RangeNotSatisfiable."""
    match = _ONE_RANGE.fullmatch(header) if header is not None else None
    if match is None or max(map(len, match.groups())) > _MAX_DIGITS:
        return None
    first, last = match.groups()
    if not first:
        if not last:
            return None
        if int(last) == 0 or size == 0:
            raise RangeNotSatisfiable
        return ByteRange(max(0, size - int(last)), size - 1)
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise RangeNotSatisfiable
    return ByteRange(int(first), min(int(last), size - 1) if last else size - 1)
