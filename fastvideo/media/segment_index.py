"""An index for the front of a fragmented MP4 (``sidx``, ISO/IEC 14496-12, 8.16.3), kept while fragments are added.

Without one, players read a whole file before they know how long it is and where to seek. It takes ``INDEX_BYTES``
however long the file grows: what does not fit is joined in pairs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from fastvideo.media.boxes import HEADER_BYTES, Box, BoxError, Buffer, box, full_box, name, parse_boxes
from fastvideo.media.movie_fragment import TrackSpan, read_spans

INDEX_BYTES = 16_384
_FIXED_BYTES = HEADER_BYTES + 4 + 28
_ENTRY_BYTES = 12
# Whatever is not needed is a 'free' box, which needs a header.
MAX_ENTRIES = (INDEX_BYTES - _FIXED_BYTES - HEADER_BYTES) // _ENTRY_BYTES
# An entry's size has 31 bits, and its length 32; so a file is never too large for one.
MAX_MEDIA_BYTES = 0x7FFF_FFFF
_MAX_TICKS = 0xFFFF_FFFF
_STARTS_WITH_KEYFRAME = 1 << 31 | 1 << 28


@dataclass(frozen=True)
class IndexedFragment:
    """What the index notes of one ``moof`` and its ``mdat``."""

    sequence: int
    size: int
    pictures: TrackSpan | None


@dataclass
class _Entry:
    size: int
    ticks: int
    keyframe: bool


class SegmentIndex:
    """The fragments of one file, in order. ``track_id`` and ``timescale`` are those of its pictures."""

    def __init__(self, track_id: int, timescale: int) -> None:
        self._track_id = track_id
        self._timescale = timescale
        self._entries: list[_Entry] = []
        self._first_ticks: int | None = None
        self._ticks = 0
        self.last_sequence: int | None = None
        self.media_bytes = 0

    @property
    def duration_s(self) -> float:
        """Length of the pictures."""
        return self._ticks / self._timescale

    def read(self, moof: Box, size: int) -> IndexedFragment | None:
        """What to note of a fragment of ``size`` bytes, ``mdat`` included; None for one that was there before.

        Raises BoxError for one that does not follow the last.
        """
        sequence, spans = read_spans(moof)
        if self.last_sequence is not None and sequence <= self.last_sequence:
            return None
        if self.last_sequence is not None and sequence != self.last_sequence + 1:
            raise BoxError(f"expected fragment {self.last_sequence + 1}, got {sequence}")
        pictures = next((span for span in spans if span.track_id == self._track_id), None)
        if pictures is not None and self._first_ticks is not None:
            expected = self._first_ticks + self._ticks
            if pictures.decode_time != expected:
                raise BoxError(f"expected pictures from tick {expected} on, got {pictures.decode_time}")
        if self.media_bytes + size > MAX_MEDIA_BYTES:
            raise BoxError(f"expected at most {MAX_MEDIA_BYTES} bytes in one file, got more")
        if pictures is not None and self._ticks + pictures.duration > _MAX_TICKS:
            raise BoxError(f"expected at most {_MAX_TICKS} ticks of {self._timescale} a second in one file, got more")
        return IndexedFragment(sequence, size, pictures)

    def note(self, fragment: IndexedFragment) -> None:
        """Add what :meth:`read` gave."""
        size, pictures = fragment.size, fragment.pictures
        keyframe = pictures is not None and pictures.keyframe
        last = self._entries[-1] if self._entries else None
        # Decoding starts at keyframes, and so do entries.
        if last is None or keyframe:
            last = _Entry(0, 0, keyframe)
            self._entries.append(last)
        last.size += size
        if pictures is not None:
            if self._first_ticks is None:
                self._first_ticks = pictures.decode_time
            self._ticks += pictures.duration
            last.ticks += pictures.duration
        self.last_sequence = fragment.sequence
        self.media_bytes += size
        if len(self._entries) > MAX_ENTRIES:
            self._join_pairs()

    def boxes(self) -> bytes:
        """``INDEX_BYTES`` bytes: a ``free`` box and a ``sidx`` of the fragments, which follow it; or ``free`` alone."""
        if not self._entries:
            return box(b"free", bytes(INDEX_BYTES - HEADER_BYTES))
        free_bytes = INDEX_BYTES - _FIXED_BYTES - _ENTRY_BYTES * len(self._entries)
        # FFmpeg, and with it Chromium, trusts an index only where the fragments follow it at once.
        head = struct.pack(">IIQQHH", self._track_id, self._timescale, self._first_ticks or 0, 0, 0, len(self._entries))
        entries = (
            struct.pack(">3I", entry.size, entry.ticks, _STARTS_WITH_KEYFRAME if entry.keyframe else 0)
            for entry in self._entries
        )
        return box(b"free", bytes(free_bytes - HEADER_BYTES)) + full_box(b"sidx", 1, 0, head, *entries)

    def _join_pairs(self) -> None:
        joined = []
        for first, second in zip(self._entries[::2], self._entries[1::2], strict=False):
            joined.append(_Entry(first.size + second.size, first.ticks + second.ticks, first.keyframe))
        if len(self._entries) % 2:
            joined.append(self._entries[-1])
        self._entries = joined


def fragment_pairs(data: Buffer) -> list[tuple[Box, int]]:
    """Each ``moof`` of whole fragments, with the bytes of it and its ``mdat``; raises BoxError for anything else."""
    boxes = parse_boxes(data)
    kinds = [found.kind for found in boxes]
    if not boxes or kinds != [b"moof", b"mdat"] * (len(boxes) // 2):
        got = ", ".join(name(kind) for kind in kinds[:8]) or "nothing"
        raise BoxError(f"expected pairs of 'moof' and 'mdat', got {got}")
    return [(moof, moof.size + mdat.size) for moof, mdat in zip(boxes[::2], boxes[1::2], strict=True)]
