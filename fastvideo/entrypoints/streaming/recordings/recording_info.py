"""What is known of a recording without opening it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

MAX_PROMPT_CHARS = 500
_ID = re.compile(r"[0-9a-f]{32}")


def is_recording_id(text: str) -> bool:
    """Whether this has the shape of a session's id: 128 bits as lower-case hex. Nothing else ever becomes a path."""
    return _ID.fullmatch(text) is not None


@dataclass(frozen=True)
class RecordingInfo:
    """One recording. Times in seconds since the epoch; ``prompt`` is the first one, shortened.

    ``reason``: why it ended; None while it grows.
    """

    id: str
    started_at_s: float
    ended_at_s: float | None = None
    reason: str | None = None
    duration_s: float = 0.0
    media_bytes: int = 0
    other_bytes: int = 0
    width_px: int = 0
    height_px: int = 0
    segments: int = 0
    prompt: str = ""
    model_id: str = ""
    poster: bool = False

    @property
    def total_bytes(self) -> int:
        """Its share of the folder's bound."""
        return self.media_bytes + self.other_bytes

    @property
    def growing(self) -> bool:
        """Whether it still goes on."""
        return self.reason is None

    def on_the_wire(self) -> dict[str, Any]:
        """As clients see it."""
        return {
            "id": self.id,
            "state": "recording" if self.growing else "ended",
            "reason": self.reason,
            "started_at": _iso(self.started_at_s),
            "ended_at": _iso(self.ended_at_s),
            "duration_s": round(self.duration_s, 3),
            "bytes": self.media_bytes,
            "width": self.width_px,
            "height": self.height_px,
            "segments": self.segments,
            "prompt": self.prompt,
            "model_id": self.model_id,
            "poster": self.poster,
        }


def _iso(moment_s: float | None) -> str | None:
    if moment_s is None:
        return None
    # Rounded as in the file of events, and not cut off.
    return datetime.fromtimestamp(round(moment_s, 3), UTC).isoformat(timespec="milliseconds")
