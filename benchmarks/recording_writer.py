"""Records sessions until it is killed, for ``recording_kills``: a process that forks a writer for each line it reads.

A line is JSON: ``folder``, ``seed``, how many recordings (``rounds``, or no end), and perhaps ``die_at``: the number of
the step on a disk before which the writer ends itself. For each line come back ``pid N``, then of the writer ``have ID
BYTES`` whenever so much of a recording was written, ``done ID`` when one has ended, and at last ``ended STATUS``.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

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


def _tell(text: str) -> None:
    # Shorter than a pipe's buffer, so it is written whole or not at all.
    os.write(1, f"{text}\n".encode())


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
                _tell(f"have {recording_id} {recording.info.media_bytes}")
            recording.add_event("ltx2_segment_complete", time.time(), {})
        recording.finish("stop_requested", time.time())
        library.put(recording.info)
        _tell(f"done {recording_id}")
    library.close()


def _die_at(step: int) -> None:
    """End this process before its ``step``-th step on a disk, as a kill does: nothing is cleaned up."""
    left = itertools.count(step, -1)

    def counted(action: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **settings: Any) -> Any:
            # What it tells us is no step.
            if arguments[0] != 1 and next(left) == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return action(*arguments, **settings)

        return run

    for name in _STEPS:
        setattr(os, name, counted(getattr(os, name)))


def _be_writer(order: dict[str, Any]) -> None:
    try:
        if order.get("die_at") is not None:
            _die_at(order["die_at"])
        _record_on(order["folder"], order["seed"], order.get("rounds"))
    except BaseException as error:
        os.write(2, f"the writer failed: {error!r}\n".encode())
        os._exit(1)
    os._exit(0)


def main() -> None:
    coded_session()
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            # Said by itself, so that it comes before anything else that it says.
            _tell(f"pid {os.getpid()}")
            _be_writer(order)
        _, status = os.waitpid(pid, 0)
        _tell(f"ended {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    main()
