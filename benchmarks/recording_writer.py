"""Records sessions until it is killed, for ``recording_kills``: forks a writer for each order.

An order holds the ``folder``. A writer says ``have ID BYTES`` whenever so much of a recording was written, and
``done ID`` when one has ended.
"""

from __future__ import annotations

import itertools
import random
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.killed_writers import fork_writers, tell
from fastvideo.entrypoints.streaming.recordings.library import Library
from fastvideo.entrypoints.streaming.recordings.recording import Recording
from fastvideo.entrypoints.streaming.recordings.recording_info import RecordingInfo
from fastvideo.entrypoints.streaming.recordings.retention import Bounds
from fastvideo.media.encoder import SegmentEncoder
from fastvideo.media.timeline import MediaCursor

PROMPT = "noise"
# So few that older ones are removed all the time.
BOUNDS = Bounds(max_bytes=1 << 40, max_count=3, max_age_s=1e9)
FPS = 24
_SEGMENTS, _FRAMES = 2, 8
_WIDTH, _HEIGHT = 256, 160
_STEPS = ("pwrite", "write", "ftruncate", "fsync", "replace", "rename", "mkdir", "unlink", "rmdir", "close")


@cache
def coded_session() -> tuple[bytes, list[list[bytes]]]:
    """An init segment, and the fragments of each segment: large ones, so that kills hit them while they are written."""
    noise, cursor, segments, init = np.random.default_rng(0), MediaCursor.start(), [], b""
    for _ in range(_SEGMENTS):
        size = {"width": _WIDTH, "height": _HEIGHT}
        with SegmentEncoder(**size, fps=FPS, cursor=cursor, encoder="libx264") as encoder:
            init = encoder.init_segment
            shape = (_FRAMES, _HEIGHT, _WIDTH, 3)
            fragments = encoder.push_video(noise.integers(0, 256, shape, dtype=np.uint8))
            owed, cursor = encoder.finish()
        segments.append([fragment.data for fragment in fragments + owed])
    return init, segments


def _record_on(folder: str, seed: int, rounds: int | None) -> None:
    chance, (init, segments) = random.Random(seed), coded_session()
    library = Library(Path(folder), BOUNDS)
    for _ in itertools.count() if rounds is None else range(rounds):
        recording_id = chance.randbytes(16).hex()
        recording = Recording(
            library.path(recording_id),
            RecordingInfo(recording_id, time.time()),
            max_bytes=1 << 40,
            make_room=lambda more, new: library.make_room(more, new, now_s=time.time()),
        )
        for fragments in segments:
            recording.add_event("ltx2_segment_start", time.time(), {"prompt": PROMPT})
            for data in (init, *fragments):
                recording.add_media(data, time.time())
                library.put(recording.info)
                tell(f"have {recording_id} {recording.info.media_bytes}")
            recording.add_event("ltx2_segment_complete", time.time(), {})
        recording.finish("stop_requested", time.time())
        library.put(recording.info)
        tell(f"done {recording_id}")
    library.close()


def _write(order: dict[str, Any]) -> None:
    _record_on(order["folder"], order["seed"], order.get("rounds"))


if __name__ == "__main__":
    # Coded before any writer is forked, and so once for all of them.
    coded_session()
    fork_writers(_write, _STEPS)
