"""AAC by FFmpeg's own coder, started in the middle of a timeline as if it had been running all along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.codec.context import Flags

from fastvideo.api.errors import EncodeError
from fastvideo.media.init_segment import AudioTrack
from fastvideo.media.resampler import Samples
from fastvideo.media.timeline import AAC_FRAME_SAMPLES, AUDIO_CHANNELS, AUDIO_RATE_HZ

BIT_RATE = 160_000
# FFmpeg's "fast" search is the better one at this rate, takes half the time, and hardly depends on what was coded
# before. With four frames of run-up it codes the next as a coder that never stopped would; the "twoloop" search has
# not settled by then, and leaves up to a hundred times the error at a join of pure tones.
_SEARCH = "fast"
RUN_UP_FRAMES = 4


@dataclass(frozen=True)
class AacFrame:
    """One coded frame and its place on the coded sound's time line (``tfdt``), a multiple of 1,024."""

    position: int
    data: bytes


class AudioCoder:
    """Codes the AAC frames from position ``first`` on.

    The frame at position P overlaps two blocks of samples, P-1024..P and P..P+1024, and is presented from P-1024. The
    coder looks one block further ahead before it decides, so the frame comes out when the block at P+1024 goes in.
    """

    def __init__(self, first: int) -> None:
        self._next = first
        self._run_up = RUN_UP_FRAMES + 1 if first else 0
        self._block = first - self._run_up * AAC_FRAME_SAMPLES
        self._blocks_in = 0
        self._frames_out = 0
        try:
            context = av.CodecContext.create("aac", "w")
            context.sample_rate = AUDIO_RATE_HZ
            context.layout = "stereo"
            context.format = "fltp"
            context.bit_rate = BIT_RATE
            context.time_base = Fraction(1, AUDIO_RATE_HZ)
            context.flags |= Flags.global_header
            context.options = {"aac_coder": _SEARCH}
            context.open()
        except av.FFmpegError as error:
            raise EncodeError("the AAC coder could not be opened; FFmpeg's libraries are broken or too old") from error
        self._context = context
        self.track = AudioTrack(AUDIO_RATE_HZ, AUDIO_CHANNELS, BIT_RATE, AAC_FRAME_SAMPLES, context.extradata or b"")

    @property
    def next_position(self) -> int:
        """Position of the next frame that will come out."""
        return self._next

    def code(self, read: Callable[[int, int], Samples], *, allowed: int, known: int) -> list[AacFrame]:
        """Code as much as may be: samples before ``allowed`` are settled, those before ``known`` may be looked at."""
        frames: list[AacFrame] = []
        while self._block <= allowed and self._block + AAC_FRAME_SAMPLES <= max(allowed, known):
            frames += self._code_block(read)
        return frames

    def code_to_end(self, read: Callable[[int, int], Samples], end: int) -> list[AacFrame]:
        """Code every frame that is presented before sample ``end``, looking past it at whatever ``read`` gives."""
        frames: list[AacFrame] = []
        while self._next - AAC_FRAME_SAMPLES < end:
            frames += self._code_block(read)
        return frames

    def _code_block(self, read: Callable[[int, int], Samples]) -> list[AacFrame]:
        samples = np.ascontiguousarray(read(self._block, self._block + AAC_FRAME_SAMPLES))
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.sample_rate = AUDIO_RATE_HZ
        frame.pts = self._blocks_in * AAC_FRAME_SAMPLES
        try:
            packets = self._context.encode(frame)
        except av.FFmpegError as error:
            raise EncodeError("the AAC coder failed on a block of sound") from error
        self._block += AAC_FRAME_SAMPLES
        self._blocks_in += 1
        frames = []
        for packet in packets:
            if packet.pts != (self._frames_out - 1) * AAC_FRAME_SAMPLES:
                raise EncodeError(f"the AAC coder lost its place: frame {self._frames_out} has time {packet.pts}")
            self._frames_out += 1
            if self._frames_out > self._run_up:
                frames.append(AacFrame(self._next, bytes(packet)))
                self._next += AAC_FRAME_SAMPLES
        return frames
