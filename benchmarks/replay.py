"""A load of pre-coded media: the same bytes at the same moments, from our server or from a bare one."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass

from fastvideo.media.boxes import box

FRAGMENT_S = 0.25
_MOOF_BYTES = 200


@dataclass(frozen=True)
class ReplayLoad:
    """``sessions`` streams of ``megabit_s``, one segment after the other in turns, together as fast as they play, or
    ``pace`` times as fast."""

    sessions: int
    megabit_s: float = 5.0
    segment_s: float = 5.0
    pace: float = 1.0

    @property
    def fragments(self) -> int:
        """Fragments of one segment."""
        return round(self.segment_s / FRAGMENT_S)

    @property
    def turn_s(self) -> float:
        """Seconds that one session's segment takes, after which it is the next session's turn."""
        return self.segment_s / self.sessions

    @property
    def spacing_s(self) -> float:
        """Seconds between two fragments of a segment that is being sent."""
        return self.turn_s / self.fragments / self.pace

    def fragment(self) -> bytes:
        """One fragment of the load's rate: a ``moof`` without a number, and an ``mdat`` that does not compress."""
        size_bytes = round(self.megabit_s * 1e6 / 8 * FRAGMENT_S)
        moof = box(b"moof", box(b"mfhd", bytes(8)) + box(b"free", bytes(_MOOF_BYTES)))
        return moof + box(b"mdat", random.Random(0).randbytes(size_bytes))

    def to_json(self) -> str:
        """For the command line of a server."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ReplayLoad:
        """Back from :meth:`to_json`."""
        return cls(**json.loads(text))
