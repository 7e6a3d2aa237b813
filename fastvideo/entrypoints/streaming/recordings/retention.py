"""Which recordings have to go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fastvideo.entrypoints.streaming.recordings.recording_info import RecordingInfo


@dataclass(frozen=True)
class Bounds:
    """Of all recordings together."""

    max_bytes: int
    max_count: int
    max_age_s: float


def to_remove(
    recordings: Iterable[RecordingInfo], bounds: Bounds, *, now_s: float, more_bytes: int = 0, more_count: int = 0
) -> list[str]:
    """Ids of ended recordings, the oldest first, that are too old or without which so much more is within bounds.

    The rest may still be beyond them: what grows is never removed.
    """
    there = list(recordings)
    used, count = sum(one.total_bytes for one in there) + more_bytes, len(there) + more_count
    gone = []
    ended = ((one.ended_at_s, one) for one in there if one.ended_at_s is not None)
    for ended_at_s, one in sorted(ended, key=lambda pair: pair[0]):
        too_old = now_s - ended_at_s > bounds.max_age_s
        if not too_old and used <= bounds.max_bytes and count <= bounds.max_count:
            break
        gone.append(one.id)
        used -= one.total_bytes
        count -= 1
    return gone
