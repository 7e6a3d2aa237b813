"""H.264 by libx264 or NVENC: RGB pictures in, one coded picture each out, nothing held back."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, cast

import av
import numpy as np
from av.codec.context import Flags
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from fastvideo.api.errors import EncodeError
from fastvideo.media.boxes import Buffer
from fastvideo.media.h264 import ParameterSets, length_prefixed, parameter_sets

ENCODERS = ("libx264", "h264_nvenc")
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
QUALITY = 23
# A ceiling for pictures that do not compress (noise), so that a segment's size stays bounded.
_MAX_BITS_PER_PIXEL = 0.25
_MIN_CEILING_BITS_PER_S = 1_000_000
_TRIAL_FRAMES = 2
_BT709 = 1
_LIMITED_RANGE = 1


@dataclass(frozen=True)
class CodedPicture:
    """One picture as length-prefixed NAL units, to be joined."""

    parts: list[Buffer]
    keyframe: bool


class VideoCoder:
    """Codes pictures of one size; the first, and every ``gop_frames``-th after it, can be decoded on its own."""

    def __init__(self, encoder: str, *, width: int, height: int, rate: Fraction, gop_frames: int, preset: str) -> None:
        try:
            context = cast(av.VideoCodecContext, av.CodecContext.create(encoder, "w"))
            context.width, context.height = width, height
            context.pix_fmt = "yuv420p"
            context.framerate, context.time_base = rate, 1 / rate
            context.gop_size, context.max_b_frames = gop_frames, 0
            context.thread_count = 1
            context.color_primaries = context.color_trc = context.colorspace = _BT709
            context.color_range = _LIMITED_RANGE
            context.flags |= Flags.global_header | Flags.closed_gop
            context.options = _options(encoder, preset, width * height * rate)
            context.open()
            self.parameter_sets: ParameterSets = parameter_sets(context.extradata or b"")
        except (av.FFmpegError, ValueError) as error:
            raise EncodeError(f"{encoder} could not be opened for {width}x{height} at {float(rate):g} fps") from error
        self.encoder = encoder
        self._context = context
        self._reformatter = VideoReformatter()
        self._frames_in = 0
        self._pictures_out = 0

    def convert(self, picture: NDArray[np.uint8]) -> av.VideoFrame:
        """Convert a picture, uint8 [H, W, 3] RGB, C-contiguous, to what ``code`` takes; may run beside it."""
        rgb = av.VideoFrame.from_numpy_buffer(picture, "rgb24")
        # Averaging the chroma of each 2x2 block is both the closest to the source and, with full chroma input, the
        # fastest of swscale's ways: half the time of its default.
        return self._reformatter.reformat(
            rgb,
            format="yuv420p",
            interpolation=Interpolation.AREA | Interpolation.FULL_CHR_H_INP,
            src_color_range=ColorRange.JPEG,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )

    def code(self, frame: av.VideoFrame) -> list[CodedPicture]:
        """Code the next picture."""
        frame.pts = self._frames_in
        self._frames_in += 1
        try:
            return self._coded(self._context.encode(frame))
        except av.FFmpegError as error:
            raise EncodeError(f"{self.encoder} failed on picture {self._frames_in}") from error

    def flush(self) -> list[CodedPicture]:
        """End the stream; returns what the coder still had. Raises EncodeError when pictures are missing."""
        try:
            pictures = self._coded(self._context.encode(None))
        except av.FFmpegError as error:
            raise EncodeError(f"{self.encoder} failed at the end of the segment") from error
        if self._pictures_out != self._frames_in:
            raise EncodeError(f"{self.encoder} took {self._frames_in} pictures and gave back {self._pictures_out}")
        return pictures

    def _coded(self, packets: list[av.Packet[Any]]) -> list[CodedPicture]:
        pictures = []
        for packet in packets:
            if packet.pts != self._pictures_out:
                raise EncodeError(f"{self.encoder} gave picture {packet.pts} where {self._pictures_out} was due")
            self._pictures_out += 1
            pictures.append(CodedPicture(length_prefixed(bytes(packet)), packet.is_keyframe))
        return pictures


def _options(encoder: str, preset: str, pixels_per_s: Fraction) -> dict[str, str]:
    ceiling = max(_MIN_CEILING_BITS_PER_S, round(pixels_per_s * Fraction(_MAX_BITS_PER_PIXEL)))
    bounds = {"maxrate": str(ceiling), "bufsize": str(ceiling)}
    if encoder == "h264_nvenc":
        return {
            "preset": "p2",
            "tune": "ull",
            "rc": "vbr",
            "cq": str(QUALITY),
            "delay": "0",
            "zerolatency": "1",
            **bounds,
        }
    return {"preset": preset, "tune": "zerolatency", "crf": str(QUALITY), "sc_threshold": "0", **bounds}


def choose_encoder(wanted: str, *, width: int, height: int) -> str:
    """Name of the encoder to use: ``auto`` is NVENC where it codes two pictures of this size, else libx264."""
    if wanted == "auto":
        return "h264_nvenc" if _passes_trial("h264_nvenc", width, height) else "libx264"
    if wanted not in ENCODERS:
        raise ValueError(f"encoder must be auto, {' or '.join(ENCODERS)}, got {wanted!r}")
    return wanted


@lru_cache(maxsize=64)
def _passes_trial(encoder: str, width: int, height: int) -> bool:
    """Whether this machine's ``encoder`` really works: it is listed on machines that cannot run it."""
    picture = np.zeros((height, width, 3), np.uint8)
    try:
        coder = VideoCoder(encoder, width=width, height=height, rate=Fraction(24), gop_frames=24, preset=PRESETS[0])
        pictures = [coded for _ in range(_TRIAL_FRAMES) for coded in coder.code(coder.convert(picture))] + coder.flush()
    except EncodeError:
        return False
    return len(pictures) == _TRIAL_FRAMES
