"""One timeline for a whole session: where the next segment's pictures and sound go on."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from fastvideo.api.errors import StateInvalid
from fastvideo.media.resampler import Samples

AUDIO_RATE_HZ = 48_000
AUDIO_CHANNELS = 2
AAC_FRAME_SAMPLES = 1024
TAIL_SAMPLES = 8 * AAC_FRAME_SAMPLES
_FULL_SCALE = 32767
_BYTES_PER_SAMPLE = 2 * AUDIO_CHANNELS
_MAX_U32 = 0xFFFF_FFFF
_MAX_U63 = 2**63 - 1


@dataclass(frozen=True)
class FrameClock:
    """Exact time of pictures: ``ticks_per_frame`` whole ticks of a timescale."""

    timescale: int
    ticks_per_frame: int

    @classmethod
    def for_fps(cls, fps: float) -> FrameClock:
        """Clock for a frame rate; 23.976, 29.97 and 59.94 are taken as the x/1001 rates that they stand for."""
        if not 0 < fps <= 1000:
            raise ValueError(f"fps must be above 0 and at most 1000, got {fps}")
        rate = Fraction(fps).limit_denominator(1001)
        ntsc = Fraction(round(fps * 1.001) * 1000, 1001)
        if rate.denominator > 1 and abs(float(ntsc) - fps) < 5e-4:
            rate = ntsc
        # 512 ticks leave room to place an event inside a frame; the large NTSC timescales have that already.
        scale = 512 if rate.numerator < 1000 else 1
        return cls(rate.numerator * scale, rate.denominator * scale)

    @property
    def frame_s(self) -> Fraction:
        """Duration of a frame."""
        return Fraction(self.ticks_per_frame, self.timescale)


@dataclass(frozen=True)
class MediaCursor:
    """All that a segment needs to go on exactly where the one before it ended; small, immutable and JSON-safe.

    ``sequence`` is the next fragment's number. ``video_ticks`` of ``video_timescale`` is the pictures' end, and the end
    of the known sound with them. ``audio_samples`` is the place of the next AAC frame on the 1,024 grid of coded sound
    (``tfdt``); it lies behind the pictures' end, because an AAC frame is coded only once the sound after it is known.
    ``tail`` is the last sound (up to 8,192 samples, 16-bit stereo) before the end, of which the last
    ``invented_samples`` continue a waveform that was shorter than its pictures. ``parameter_hash`` identifies the last
    init segment. After ``ended`` nothing can follow.
    """

    sequence: int = 1
    video_ticks: int = 0
    video_timescale: int = 1
    audio_samples: int = 0
    tail: bytes = b""
    invented_samples: int = 0
    parameter_hash: str = ""
    ended: bool = False

    @classmethod
    def start(cls) -> MediaCursor:
        """The cursor of a new timeline."""
        return cls()

    @property
    def end_s(self) -> Fraction:
        """Time at which the pictures end."""
        return Fraction(self.video_ticks, self.video_timescale)

    @property
    def end_samples(self) -> int:
        """The pictures' end in audio samples."""
        return samples_at(self.video_ticks, self.video_timescale)

    def ticks_in(self, timescale: int) -> int:
        """The pictures' end in another timescale, rounded to the nearest tick."""
        return round(self.end_s * timescale)

    def tail_samples(self) -> Samples:
        """The tail as float32 [2, n] in -1..1."""
        flat = np.frombuffer(self.tail, dtype="<i2").reshape(-1, AUDIO_CHANNELS)
        return np.ascontiguousarray(flat.T, dtype=np.float32) / np.float32(_FULL_SCALE)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return {
            "sequence": self.sequence,
            "video_ticks": self.video_ticks,
            "video_timescale": self.video_timescale,
            "audio_samples": self.audio_samples,
            "tail": base64.b64encode(self.tail).decode("ascii"),
            "invented_samples": self.invented_samples,
            "parameter_hash": self.parameter_hash,
            "ended": self.ended,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MediaCursor:
        """Read ``to_dict``'s form; raises StateInvalid for anything else."""
        expected = set(cls.__dataclass_fields__)
        if set(data) != expected:
            raise StateInvalid(f"media cursor: expected the keys {sorted(expected)}, got {sorted(map(str, data))}")
        numbers = {
            key: _whole_number(data, key, low, high)
            for key, low, high in (
                ("sequence", 1, _MAX_U32),
                ("video_ticks", 0, _MAX_U63),
                ("video_timescale", 1, _MAX_U32),
                ("audio_samples", 0, _MAX_U63),
                ("invented_samples", 0, TAIL_SAMPLES),
            )
        }
        if not isinstance(data["parameter_hash"], str) or not isinstance(data["tail"], str):
            raise StateInvalid("media cursor: tail and parameter_hash must be strings")
        if not isinstance(data["ended"], bool):
            raise StateInvalid("media cursor: ended must be true or false")
        try:
            tail = base64.b64decode(data["tail"], validate=True)
        except (binascii.Error, ValueError):
            raise StateInvalid("media cursor: tail is not base64") from None
        cursor = cls(tail=tail, parameter_hash=data["parameter_hash"], ended=data["ended"], **numbers)
        behind = cursor.end_samples - cursor.audio_samples
        if len(tail) > TAIL_SAMPLES * _BYTES_PER_SAMPLE or len(tail) % _BYTES_PER_SAMPLE:
            raise StateInvalid(
                f"media cursor: a tail of {len(tail)} bytes is not at most {TAIL_SAMPLES} stereo samples"
            )
        if cursor.audio_samples % AAC_FRAME_SAMPLES or not (cursor.ended or 0 <= behind < 2 * AAC_FRAME_SAMPLES):
            raise StateInvalid(f"media cursor: audio_samples {cursor.audio_samples} do not go with the pictures' end")
        return cursor


def tail_bytes(samples: Samples) -> bytes:
    """The last 8,192 samples of float32 [2, n] as a cursor keeps them."""
    kept = np.clip(samples[:, -TAIL_SAMPLES:], -1.0, 1.0)
    return np.round(kept.T * np.float32(_FULL_SCALE)).astype("<i2").tobytes()


def samples_at(ticks: int, timescale: int) -> int:
    """Audio samples that lie wholly before a time; differences of it add up, so sound never drifts."""
    return ticks * AUDIO_RATE_HZ // timescale


def _whole_number(data: Mapping[str, Any], key: str, low: int, high: int) -> int:
    value = data[key]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise StateInvalid(f"media cursor: {key} must be a whole number from {low} to {high}, got {value!r}")
    return value
