"""Where a segment's picture and sound lie in time, in exact arithmetic.

A video latent covers 8 frames, the first one 1 frame. An audio latent covers 4 mel frames of 10 ms, the first one 1.
The two grids do not meet at a segment's end, so the join is computed where it really is: the sound of a segment begins
``position_offset`` before its picture, and what is emitted starts at the sample of the first new frame. Nothing is
rounded from segment to segment, so picture and sound keep step however many follow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from fastvideo.api.errors import ConfigValidationError

TEMPORAL_SCALE = 8
AUDIO_LATENTS_PER_SECOND = 25
_MEL_PER_SECOND = 100
_MEL_PER_LATENT = 4
# Two seconds of sound as context: the audio decoder looks 33 latents back, the rest settles the vocoder.
_CONTEXT_LATENTS = 51
# Sound made beyond a segment's picture and carried into the next one: a vocoder hears 0.2 s ahead, so what it makes of
# the last samples before a join is what the next segment makes of them too.
LOOKAHEAD_LATENTS = 5
# Half a millisecond beyond the last frame, so that rounding to samples never ends outside the waveform.
_COVER_MARGIN = Fraction(1, 2000)
# Every exact offset is a multiple of 1/(100 fps); a float from a state is brought back onto that grid.
_OFFSET_DENOMINATOR = 1_000_000


def rounded_frames(num_frames: int) -> int:
    """The nearest frame count of the form 8k+1, the smaller of two equally near ones."""
    return (max(num_frames, 1) + TEMPORAL_SCALE // 2 - 2) // TEMPORAL_SCALE * TEMPORAL_SCALE + 1


def whole_latent_frames(num_frames: int) -> int:
    """The largest frame count of the form 8k+1 that is at most ``num_frames``."""
    return (num_frames - 1) // TEMPORAL_SCALE * TEMPORAL_SCALE + 1


def latents_for_audio(duration: Fraction) -> int:
    """The fewest audio latents whose sound, 4T - 3 mel frames, covers ``duration`` seconds."""
    mel_frames = (duration + _COVER_MARGIN) * _MEL_PER_SECOND
    return max(1, math.ceil((mel_frames + _MEL_PER_LATENT - 1) / _MEL_PER_LATENT))


def latents_of_frames(num_frames: int, fps: int) -> int:
    """Audio latents in the time of ``num_frames`` video frames, rounded."""
    return round(Fraction(num_frames * AUDIO_LATENTS_PER_SECOND, fps))


def _audio_end(latents: int) -> Fraction:
    return Fraction(_MEL_PER_LATENT * latents - (_MEL_PER_LATENT - 1), _MEL_PER_SECOND)


@dataclass(frozen=True)
class AudioTail:
    """What the next segment takes over: latents [begin, end), as how many video frames, and its position offset."""

    begin: int
    end: int
    num_frames: int
    position_offset_s: float


@dataclass(frozen=True)
class SegmentPlan:
    """One segment: ``num_frames`` (8k+1) pictures, of which the first ``overlap_frames`` repeat the segment before and
    the last ``end_offset_frames`` are not used; ``audio_latents`` of sound that begins ``position_offset`` seconds
    before the picture and goes on for ``lookahead_latents`` after it, the first ``audio_context_latents`` of them taken
    over; ``frames_before`` frames were emitted earlier in the stream.
    """

    num_frames: int
    fps: int
    audio_latents: int
    overlap_frames: int = 0
    end_offset_frames: int = 0
    audio_context_latents: int = 0
    lookahead_latents: int = 0
    position_offset: Fraction = Fraction(0)
    frames_before: int = 0

    @classmethod
    def make(
        cls,
        num_frames: int,
        fps: int,
        *,
        overlap_frames: int = 0,
        end_offset_frames: int = 0,
        audio_context_latents: int = 0,
        lookahead_latents: int = 0,
        position_offset_s: float = 0.0,
        frames_before: int = 0,
    ) -> SegmentPlan:
        """The plan for ``num_frames`` (8k+1) frames. Raises ConfigValidationError when nothing new would remain."""
        if num_frames - overlap_frames - end_offset_frames < 1:
            raise ConfigValidationError(
                "sampling.num_frames",
                f"{num_frames} frames leave nothing new: {overlap_frames} repeat the segment before"
                + (f" and {end_offset_frames} are dropped at the end" if end_offset_frames else ""),
            )
        offset = Fraction(position_offset_s).limit_denominator(_OFFSET_DENOMINATOR)
        audio_latents = latents_for_audio(Fraction(num_frames, fps) + offset) + lookahead_latents
        if audio_context_latents:
            # One length for every join of a stream, whichever part of a latent its offset falls on.
            new_time = Fraction(num_frames - overlap_frames, fps) + _COVER_MARGIN
            new_latents = math.ceil(new_time * AUDIO_LATENTS_PER_SECOND)
            audio_latents = max(audio_latents, audio_context_latents + new_latents)
        return cls(
            num_frames=num_frames,
            fps=fps,
            audio_latents=audio_latents,
            overlap_frames=overlap_frames,
            end_offset_frames=end_offset_frames,
            audio_context_latents=audio_context_latents,
            lookahead_latents=lookahead_latents,
            position_offset=offset,
            frames_before=frames_before,
        )

    @property
    def latent_frames(self) -> int:
        """Video latents in time."""
        return 1 + (self.num_frames - 1) // TEMPORAL_SCALE

    @property
    def new_frames(self) -> int:
        """Frames that are emitted."""
        return self.end_frame - self.overlap_frames

    @property
    def end_frame(self) -> int:
        """The frame after the last emitted one."""
        return self.num_frames - self.end_offset_frames

    def sample_span(self, sample_rate_hz: int) -> tuple[int, int]:
        """First sample and number of samples to emit, exactly as long as the new frames on the stream's timeline."""
        start = (Fraction(self.overlap_frames, self.fps) + self.position_offset) * sample_rate_hz

        def timeline(frames: int) -> int:
            return frames * sample_rate_hz // self.fps

        count = timeline(self.frames_before + self.new_frames) - timeline(self.frames_before)
        return math.floor(start + Fraction(1, 2)), count

    def audio_tail(self, overlap_frames: int) -> AudioTail:
        """The sound that the next segment continues, when ``overlap_frames`` of this picture stand at its head."""
        seam = Fraction(self.end_frame, self.fps) + self.position_offset
        heard = min(latents_for_audio(seam), self.audio_latents)
        end = min(heard + self.lookahead_latents, self.audio_latents)
        head = Fraction(overlap_frames, self.fps)
        # The context begins no later than the overlapping picture, so that the next offset is not negative.
        kept = min(heard, max(_CONTEXT_LATENTS, latents_for_audio(head) + 1)) + end - heard
        num_frames = math.ceil(Fraction((2 * kept - 1) * self.fps, 2 * AUDIO_LATENTS_PER_SECOND))
        if latents_of_frames(num_frames, self.fps) < kept:
            num_frames += 1
        seam_in_next = _audio_end(kept) - (_audio_end(end) - seam)
        return AudioTail(end - kept, end, num_frames, float(max(seam_in_next - head, Fraction(0))))
