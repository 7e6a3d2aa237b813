"""A segment that is coded already, as a worker hands it on; each fragment says when it was sent."""

from __future__ import annotations

import struct
import time
from collections.abc import Generator
from dataclasses import replace

from benchmarks.replay import FRAGMENT_S, ReplayLoad
from fastvideo.api.cancellation import CancellationToken
from fastvideo.entrypoints.streaming.segment_events import (
    SegmentDone,
    SegmentEvent,
    SegmentFragment,
    SegmentInit,
    SegmentJob,
    SegmentProgress,
    SegmentStarted,
)
from fastvideo.media.boxes import box

_MIME = 'video/mp4; codecs="avc1.42c01f"'
_STAMP = struct.Struct("<d")
_NUMBER = struct.Struct(">I")
# In the first box: the number is the second half of its ``mfhd``, the stamp the begin of its ``free``.
_NUMBER_AT = 20
_STAMP_AT = 32


def stamped(fragment: bytes, sequence: int = 0) -> bytes:
    """A copy of a fragment, as a coder would give, with its number and the time of now (monotonic, the same in all
    processes)."""
    data = bytearray(fragment)
    _NUMBER.pack_into(data, _NUMBER_AT, sequence)
    _STAMP.pack_into(data, _STAMP_AT, time.monotonic())
    return bytes(data)


def sent_s(fragment: bytes | bytearray | memoryview) -> float:
    """When a stamped fragment was sent, in monotonic seconds."""
    at_s: float = _STAMP.unpack_from(fragment, _STAMP_AT)[0]
    return at_s


def sequence(fragment: bytes) -> int:
    """The number of a stamped fragment."""
    number: int = _NUMBER.unpack_from(fragment, _NUMBER_AT)[0]
    return number


def replay_segment(
    load: ReplayLoad, fragment: bytes, job: SegmentJob, cancel: CancellationToken
) -> Generator[SegmentEvent, None, None]:
    """The events of one segment of the load, at its pace. Raises GenerationCancelled."""
    began_s = time.monotonic()
    yield SegmentStarted(1)
    yield SegmentProgress(1, 1)
    yield SegmentInit(_MIME, box(b"ftyp", bytes(8)) + box(b"moov", bytes(800)))
    first, base_ms = job.cursor.sequence, job.segment_idx * load.segment_s * 1000
    for index in range(load.fragments):
        pts_ms = base_ms + index * FRAGMENT_S * 1000
        yield SegmentFragment(stamped(fragment, first + index), first + index, pts_ms, FRAGMENT_S * 1000)
        if cancel.wait(max(0.0, began_s + (index + 1) * load.spacing_s - time.monotonic())):
            cancel.raise_if_cancelled()
    yield SegmentDone(
        cursor=replace(job.cursor, sequence=first + load.fragments),
        state=None,
        frames=round(load.segment_s * job.request.sampling.fps),
        duration_ms=load.segment_s * 1000,
        pts_base_ms=base_ms,
        generation_ms=(time.monotonic() - began_s) * 1000,
    )


class NoGenerator:
    """What a worker is built around that only replays."""

    model_id = "replay"

    def generate(self, request: object) -> object:
        """Raises NotImplementedError."""
        raise NotImplementedError("a replay sends what is coded already")
