"""Which frames a stream shows, read from the pictures themselves once they are decoded."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise

import av
import numpy as np

from fastvideo.media.strip import read_strip


def frame_faults(media: Sequence[bytes], frames_per_segment: int) -> tuple[int, list[str]]:
    """How many pictures an init segment and its fragments hold, and what is wrong with their numbers.

    Each picture has a strip (``media/strip.py``). Segments count from 0, frames from 0 in each: one that is missing,
    there twice, or cannot be read is a fault.
    """
    with av.open(io.BytesIO(b"".join(media)), mode="r") as file:
        pictures = (np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in file.decode(video=0))
        numbers = [read_strip(picture) for picture in pictures]
    faults = [f"picture {index} has no number that can be read" for index, at in enumerate(numbers) if at is None]
    places = [segment * frames_per_segment + frame for segment, frame in filter(None, numbers)]
    if places and places[0] != 0:
        faults.append(f"the first picture is frame {places[0]}")
    faults += [f"frame {after} follows frame {before}" for before, after in pairwise(places) if after != before + 1]
    return len(numbers), faults
