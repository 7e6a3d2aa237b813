"""What one session sends, in order: what is yet to be sent, and what was, as far as it may have to be sent again.

A client says where it stands with the number of the last fragment that it has whole, and how many frames it has beyond
that one. Plain book-keeping, without a connection.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

Frame: TypeAlias = str | bytes


class NotKept(Exception):
    """The client stands where nothing is kept, or where nobody ever was."""


@dataclass(frozen=True, slots=True)
class _Entry:
    frame: Frame
    # The number of the last fragment in it.
    sequence: int | None


class FrameLog:
    """Text and binary frames of one session. Of those that were taken, the newest ``keep_bytes`` are kept."""

    def __init__(self, keep_bytes: int) -> None:
        self._keep_bytes = keep_bytes
        self._taken: deque[_Entry] = deque()
        self._waiting: deque[_Entry] = deque()
        self._taken_bytes = 0
        self._waiting_bytes = 0
        # Where a client stands that has all that is no longer kept.
        self._base = (0, 0)

    def begin_at(self, last_sequence: int, frames_after: int) -> None:
        """Before anything else: the client stands there, after what came from another server."""
        self._base = (last_sequence, frames_after)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of frames that were not taken yet."""
        return self._waiting_bytes

    @property
    def held_bytes(self) -> int:
        """Bytes of all frames that are here."""
        return self._taken_bytes + self._waiting_bytes

    def append(self, frame: Frame, sequence: int | None = None) -> None:
        """Add a frame; ``sequence``: the number of the last fragment in it, which rises from frame to frame."""
        self._waiting.append(_Entry(frame, sequence))
        self._waiting_bytes += len(frame)

    def take(self) -> Frame | None:
        """The next frame to send, or None."""
        if not self._waiting:
            return None
        entry = self._waiting.popleft()
        self._taken.append(entry)
        self._waiting_bytes -= len(entry.frame)
        self._taken_bytes += len(entry.frame)
        while self._taken_bytes > self._keep_bytes and len(self._taken) > 1:
            self._forget_first()
        return entry.frame

    def discard(self) -> None:
        """Drop what was not taken."""
        self._waiting.clear()
        self._waiting_bytes = 0

    def check(self, last_sequence: int, frames_after: int) -> None:
        """Raise NotKept unless :meth:`rewind` can be done."""
        self._count(last_sequence, frames_after)

    def rewind(self, last_sequence: int, frames_after: int) -> None:
        """Go on after fragment ``last_sequence`` (0: before the first) and that many frames more. Raises NotKept.

        The client has what lies before, so that is forgotten; what was taken beyond will be taken again.
        """
        for _ in range(self._count(last_sequence, frames_after)):
            self._forget_first()
        self._waiting.extendleft(reversed(self._taken))
        self._waiting_bytes += self._taken_bytes
        self._taken.clear()
        self._taken_bytes = 0

    def _count(self, last_sequence: int, frames_after: int) -> int:
        """How many of the frames taken the client has."""
        base_sequence, base_after = self._base
        if last_sequence == base_sequence:
            count = frames_after - base_after
        else:
            at = next((i for i, entry in enumerate(self._taken) if entry.sequence == last_sequence), None)
            if at is None:
                raise NotKept(f"fragment {last_sequence} is none of those that are kept")
            count = at + 1 + frames_after
        if not 0 <= count <= len(self._taken):
            raise NotKept(f"{frames_after} frames after fragment {last_sequence} is no place that is kept")
        return count

    def _forget_first(self) -> None:
        entry = self._taken.popleft()
        self._taken_bytes -= len(entry.frame)
        sequence, after = self._base
        self._base = (sequence, after + 1) if entry.sequence is None else (entry.sequence, 0)
