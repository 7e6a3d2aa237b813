"""Which regions of a ring are in use: plain book-keeping, of which each end of a ring has its own."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

ALIGN_BYTES = 4096


class RingSpace:
    """Regions of ``size_bytes``, each at the lowest place where it fits, freed in any order.

    Each begins at a multiple of ``ALIGN_BYTES`` and reaches to the next one, so that there are never many.
    """

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes - size_bytes % ALIGN_BYTES
        self._offsets: list[int] = []
        self._ends: list[int] = []

    def __len__(self) -> int:
        return len(self._offsets)

    def place(self, size_bytes: int) -> int | None:
        """Take a region of ``size_bytes`` and tell its offset; None when no gap is as large now."""
        # Not round and round: what was used last is still in the processor's cache, and is faster to write and to read.
        for offset, end in self._gaps():
            if end - offset >= size_bytes:
                self.claim(offset, size_bytes)
                return offset
        return None

    def claim(self, offset: int, size_bytes: int) -> None:
        """Take the region at ``offset``. Raises ValueError for one that cannot be, or that is in use."""
        end = offset + _aligned(size_bytes)
        if offset < 0 or offset % ALIGN_BYTES or size_bytes <= 0 or end > self.size_bytes:
            raise ValueError(f"a ring of {self.size_bytes} bytes has no region of {size_bytes} bytes at {offset}")
        index = bisect_left(self._offsets, offset)
        before = self._ends[index - 1] if index else 0
        behind = self._offsets[index] if index < len(self._offsets) else self.size_bytes
        if offset < before or end > behind:
            raise ValueError(f"of the {size_bytes} bytes at {offset} of a ring some are in use")
        self._offsets.insert(index, offset)
        self._ends.insert(index, end)

    def free(self, offset: int) -> None:
        """Give the region at ``offset`` back. Raises ValueError when none in use begins there."""
        index = bisect_left(self._offsets, offset)
        if index == len(self._offsets) or self._offsets[index] != offset:
            raise ValueError(f"no region of the ring that is in use begins at {offset}")
        del self._offsets[index], self._ends[index]

    def _gaps(self) -> Iterator[tuple[int, int]]:
        begin = 0
        for offset, end in zip(self._offsets, self._ends, strict=True):
            if offset > begin:
                yield begin, offset
            begin = end
        if begin < self.size_bytes:
            yield begin, self.size_bytes


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // ALIGN_BYTES) * ALIGN_BYTES
