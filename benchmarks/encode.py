"""The encoder alone, in this process and without a server, against bare ffmpeg and PyAV.

The same frames with the same settings, all there at once; CPU is that of this process. What ``segment`` has more is the
service's.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from numpy.typing import NDArray

from benchmarks.bare_tools import Cost, find_ffmpeg, names_of_tools
from benchmarks.clip import FPS, SIZES, TINY, moving_picture, sound
from benchmarks.cost_ratios import CostRounds
from benchmarks.report import Effort, Report, main
from fastvideo.media.encoder import FIRST_FRAGMENT_FRAMES, SegmentEncoder
from fastvideo.media.timeline import AUDIO_RATE_HZ, MediaCursor

_ROUNDS = {Effort.QUICK: 1, Effort.NORMAL: 5, Effort.LONG: 15}


def measure(effort: Effort) -> Report:
    """Every size, in turn."""
    program = find_ffmpeg()
    figures, details = [], {}
    for size in (TINY,) if effort is Effort.QUICK else SIZES:
        clip, wave = moving_picture(size), sound(size.frames)
        rounds = CostRounds(size)
        for _ in range(_ROUNDS[effort]):
            rounds.add(_coded(clip, wave), program, clip, wave)
        figures += rounds.figures()
        details[size.name] = rounds.details()
    return Report("encode", effort, figures, against=names_of_tools(program), details=details)


def _coded(clip: NDArray[np.uint8], wave: NDArray[np.float32]) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    _, height, width, _ = clip.shape
    segment = SegmentEncoder(width=width, height=height, fps=FPS, cursor=MediaCursor.start(), encoder="libx264")
    segment.push_audio(wave, AUDIO_RATE_HZ)
    fragments = segment.push_video(clip[:FIRST_FRAGMENT_FRAMES])
    first_fragment_ms = (time.perf_counter() - wall) * 1000
    fragments += segment.push_video(clip[FIRST_FRAGMENT_FRAMES:])
    fragments += segment.finish()[0]
    size_bytes = sum(len(fragment.data) for fragment in fragments)
    return Cost(time.perf_counter() - wall, time.process_time() - cpu, size_bytes, first_fragment_ms)


if __name__ == "__main__":
    sys.exit(main("encode", __doc__, measure))
