"""A segment's sound at 48 kHz as a function of the session's sample position, joined to the sound before it."""

from __future__ import annotations

from math import gcd

import numpy as np
from numpy.typing import NDArray

from fastvideo.media.resampler import HALF_WIDTH, Resampler, Samples, interpolate, zero_padded
from fastvideo.media.timeline import AAC_FRAME_SAMPLES, AUDIO_CHANNELS, AUDIO_RATE_HZ

_FADE_S = 0.05
# What the previous segment made up at its end is blended into the new waveform over this many samples. They, and the
# reach of the conversion kernel at 8 kHz, stay inside the last AAC frame's worth of sound, which is not coded yet.
_BLEND_SAMPLES = 768
_MIN_RATE_HZ, _MAX_RATE_HZ = 8_000, 192_000
_MAX_RATE_STEPS = 1000


class Soundtrack:
    """Sound around and after sample position ``start``: the tail before it, the waveform, and what follows that.

    A waveform shorter than its pictures goes on as its own mirror image, faded out over 50 ms; then there is silence.
    """

    def __init__(
        self, start: int, tail: Samples, invented_samples: int, waveform: Samples, sample_rate_hz: int
    ) -> None:
        self._start = start
        self._tail = tail
        self._resampler = Resampler(sample_rate_hz, AUDIO_RATE_HZ)
        up, down = self._resampler.up, self._resampler.down
        self.known_end = start + waveform.shape[1] * up // down

        reach = 0 if self._resampler.is_identity else -(-self._resampler.reach * up // down)
        blend = min(invented_samples, _BLEND_SAMPLES, waveform.shape[1] * up // down)
        # From here on the sound is converted anew, now that what follows it is known.
        self._redone_from = start - blend - reach
        before = -(-(blend + reach) * down // up) + 2 * self._resampler.reach
        distances = np.arange(before, 0, -1)
        context = interpolate(tail, tail.shape[1] - distances * up / down)
        if blended := blend * down // up:
            angle = (np.arange(blended, dtype=np.float32) + 0.5) * np.float32(np.pi / 2 / blended)
            context[:, -blended:] *= np.cos(angle)
            context[:, -blended:] += waveform[:, blended - 1 :: -1] * np.sin(angle)
        known = np.concatenate((context, waveform), axis=1)
        mirrored = known[:, ::-1][:, 1 : 1 + round(_FADE_S * sample_rate_hz)]
        fade = np.cos(np.linspace(0.0, np.pi / 2, mirrored.shape[1], dtype=np.float32)) ** 2
        self._source = np.concatenate((known, mirrored * fade), axis=1)
        self._source_start = -before

    def read(self, start: int, stop: int) -> Samples:
        """Samples ``start`` to ``stop`` of the session as float32 [2, stop - start]; silence before its beginning."""
        tail_start = self._start - self._tail.shape[1]
        split = min(max(self._redone_from, start), stop)
        old = zero_padded(self._tail, start - tail_start, split - tail_start)
        if split == stop:
            return old
        new = self._resampler.convert(self._source, self._source_start, split - self._start, stop - self._start)
        return new if split == start else np.concatenate((old, new), axis=1)


def silence() -> Samples:
    """The waveform of a segment without sound."""
    return np.zeros((AUDIO_CHANNELS, 0), np.float32)


def checked_waveform(waveform: NDArray[np.floating], sample_rate_hz: int) -> Samples:
    """The waveform as float32 [2, n] in -1..1, mono doubled; raises ValueError for what is not sound."""
    if not isinstance(waveform, np.ndarray) or not np.issubdtype(waveform.dtype, np.floating):
        raise ValueError(f"expected a floating-point waveform in -1..1, got {_described(waveform)}")
    if waveform.ndim != 2 or waveform.shape[0] not in (1, AUDIO_CHANNELS):
        raise ValueError(f"expected a waveform of shape [2, samples] or [1, samples], got {list(waveform.shape)}")
    if isinstance(sample_rate_hz, bool) or not isinstance(sample_rate_hz, int):
        raise ValueError(f"expected a whole number of samples per second, got {sample_rate_hz!r}")
    steps = AUDIO_RATE_HZ // gcd(sample_rate_hz, AUDIO_RATE_HZ)
    if not _MIN_RATE_HZ <= sample_rate_hz <= _MAX_RATE_HZ or steps > _MAX_RATE_STEPS:
        raise ValueError(
            f"a sample rate of {sample_rate_hz} Hz cannot be converted; use a usual one such as 24000 or 48000"
        )
    if not np.isfinite(waveform).all():
        raise ValueError("the waveform has NaN or infinite samples; the model's sound is broken")
    clipped = np.clip(waveform, -1.0, 1.0).astype(np.float32, copy=False)
    return clipped if clipped.shape[0] == AUDIO_CHANNELS else np.repeat(clipped, AUDIO_CHANNELS, axis=0)


def _described(value: object) -> str:
    return f"{value.dtype} values" if isinstance(value, np.ndarray) else type(value).__name__


assert _BLEND_SAMPLES + HALF_WIDTH * AUDIO_RATE_HZ // _MIN_RATE_HZ <= AAC_FRAME_SAMPLES
