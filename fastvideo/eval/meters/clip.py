"""Everything the meters say about a clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastvideo.eval.meters.movement import motion_of
from fastvideo.eval.meters.outline import Outline, kind_of, radius_px, rotation_turns, trace
from fastvideo.eval.meters.pitch import pitch_error_semitones
from fastvideo.eval.meters.sight import look
from fastvideo.eval.meters.track import Track
from fastvideo.eval.world import FPS
from fastvideo.eval.world.scene import Colour, Kind, Motion

_FRAME_STRIDE = 2


@dataclass(frozen=True)
class MeasuredThing:
    """A thing as it is seen; ``track`` holds its poses at every second frame.

    ``pitch_error_semitones``: median distance between the note that is heard and the one that its height asks of the
    first voice; NaN without sound.
    """

    colour: Colour
    kind: Kind
    motion: Motion
    track: Track
    pitch_error_semitones: float


@dataclass(frozen=True)
class Measured:
    """A clip as it is seen and heard."""

    backdrop: Colour
    things: tuple[MeasuredThing, ...]


def measure(
    frames: NDArray[np.uint8],
    samples: NDArray[np.float32] | None = None,
    sample_rate_hz: int = 48000,
    *,
    fps: float = FPS,
) -> Measured:
    """Measures frames [T, H, W, 3] of one scene and the sound [channels, N] that belongs to them.

    Frames in which something still changes by a transition are better left out, with their sound.
    """
    watched = frames[::_FRAME_STRIDE]
    times_s = np.arange(len(watched), dtype=np.float64) * (_FRAME_STRIDE / fps)
    sight = look(watched)
    things = []
    for seen in sight.things:
        outline = trace(seen.mask)
        kind = kind_of(outline)
        if kind is None:
            continue
        track = track_of(outline, kind, frames.shape[1])
        motion = motion_of(track)
        if motion is not None:
            error = float("nan")
            if samples is not None:
                error = pitch_error_semitones(track.y, times_s, samples, sample_rate_hz)
            things.append(MeasuredThing(seen.colour, kind, motion, track, error))
    return Measured(sight.backdrop, tuple(things))


def track_of(outline: Outline, kind: Kind, height_px: int) -> Track:
    """The poses of a traced mask, in frame heights."""
    return Track(
        outline.x / height_px,
        outline.y / height_px,
        radius_px(outline, kind) / height_px,
        rotation_turns(outline, kind),
    )
