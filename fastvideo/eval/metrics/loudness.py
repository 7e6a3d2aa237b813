"""Integrated loudness (ITU-R BS.1770-5)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fastvideo.api.errors import EvaluationError
from fastvideo.eval.clip import Sample
from fastvideo.eval.result import Score

Floats = NDArray[np.float64]

_BLOCK_S = 0.4
_STEP_S = 0.1
_ABSOLUTE_GATE = -70.0  # LUFS
_RELATIVE_GATE = -10.0  # LU below the mean of what passes the absolute one
_OFFSET = -0.691
_SHORT_TERM_S = 3.0
# After this the high-pass of the K-weighting has died away to 1e-20 of its peak.
_RESPONSE_S = 0.25
# By their number, in FFmpeg's order: left, right, centre, low frequencies (which do not count), surround.
_CHANNEL_WEIGHTS = {
    1: (1.0,),
    2: (1.0, 1.0),
    3: (1.0, 1.0, 1.0),
    5: (1.0, 1.0, 1.0, 1.41, 1.41),
    6: (1.0, 1.0, 1.0, 0.0, 1.41, 1.41),
}


def measure(sample: Sample) -> Score:
    """Loudness of the whole sound in LUFS: K-weighted power of blocks of 0.4 s, without those below -70 LUFS and those
    more than 10 LU below the rest.

    None for sound that is below -70 LUFS throughout. ``details`` has the loudest 0.4 s and 3 s, and the highest sample
    in dB of full scale. Raises EvaluationError for less than 0.4 s, rates below 8 kHz, and 4 or more than 6 channels.
    """
    samples, rate_hz = sample.sound()
    name = sample.video.name
    weights = _CHANNEL_WEIGHTS.get(samples.shape[0])
    if weights is None:
        raise EvaluationError(f"{name} has {samples.shape[0]} channels; loudness is defined for 1, 2, 3, 5 and 6")
    if rate_hz < 8000:
        raise EvaluationError(f"{name} has {rate_hz} samples a second, expected at least 8000")
    if samples.shape[1] < round(_BLOCK_S * rate_hz):
        raise EvaluationError(f"{name} has {samples.shape[1] / rate_hz:.3g} s of sound, expected at least {_BLOCK_S} s")
    weighted = _filtered(samples.astype(np.float64), _impulse_response(rate_hz))
    energy = np.concatenate(([0.0], np.cumsum(np.array(weights) @ weighted**2)))
    powers = _powers(energy, rate_hz, _BLOCK_S)
    peak = float(np.abs(samples).max())
    details: dict[str, object] = {"peak_dbfs": 20 * math.log10(peak) if peak > 0 else -math.inf}
    audible = powers[powers > _power(_ABSOLUTE_GATE)]
    if not audible.size:
        return Score(None, {**details, "reason": f"nothing is louder than {_ABSOLUTE_GATE:g} LUFS"})
    details["momentary_max"] = _loudness(float(powers.max()))
    short_term = _powers(energy, rate_hz, _SHORT_TERM_S)
    if short_term.size:
        details["short_term_max"] = _loudness(float(short_term.max()))
    gate = max(_ABSOLUTE_GATE, _loudness(float(audible.mean())) + _RELATIVE_GATE)
    return Score(_loudness(float(powers[powers > _power(gate)].mean())), details)


def _loudness(power: float) -> float:
    return _OFFSET + 10 * math.log10(power)


def _power(loudness: float) -> float:
    return float(10 ** ((loudness - _OFFSET) / 10))


def _powers(energy: Floats, rate_hz: int, length_s: float) -> Floats:
    """Mean power in windows of that length, one every 0.1 s, from the energy up to each sample [N + 1]: [windows]."""
    length = round(length_s * rate_hz)
    starts = np.round(np.arange(0, energy.size, _STEP_S * rate_hz)).astype(int)
    starts = starts[starts + length < energy.size]
    powers: Floats = (energy[starts + length] - energy[starts]) / length
    return powers


def _filtered(samples: Floats, response: Floats) -> Floats:
    """The convolution [channels, N], by FFT."""
    length = samples.shape[1]
    points = 1 << (length + response.size - 2).bit_length()
    spectrum = np.fft.rfft(samples, points, axis=1) * np.fft.rfft(response, points)
    filtered: Floats = np.fft.irfft(spectrum, points, axis=1)[:, :length]
    return filtered


def _impulse_response(rate_hz: int) -> Floats:
    """Of the K-weighting: a shelf for the head, then a high-pass.

    The standard lists coefficients for 48 kHz only; these are the analogue filters that they come from (as in
    libebur128), through the bilinear transform for any rate.
    """
    tangent = math.tan(math.pi * 1681.974450955533 / rate_hz)
    q, gain = 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    band = gain**0.4996667741545416
    shelf = (
        (gain + band * tangent / q + tangent**2, 2 * (tangent**2 - gain), gain - band * tangent / q + tangent**2),
        (1 + tangent / q + tangent**2, 2 * (tangent**2 - 1), 1 - tangent / q + tangent**2),
    )
    tangent = math.tan(math.pi * 38.13547087602444 / rate_hz)
    q = 0.5003270373238773
    poles = (1 + tangent / q + tangent**2, 2 * (tangent**2 - 1), 1 - tangent / q + tangent**2)
    # The numerator of the standard's table, which does not divide it by the first pole's coefficient.
    high_pass = ((poles[0], -2 * poles[0], poles[0]), poles)
    response = [1.0] + [0.0] * (round(_RESPONSE_S * rate_hz) - 1)
    for numerator, denominator in (shelf, high_pass):
        response = _biquad(response, numerator, denominator)
    return np.array(response)


def _biquad(
    samples: list[float], numerator: tuple[float, float, float], denominator: tuple[float, float, float]
) -> list[float]:
    b0, b1, b2, a1, a2 = (value / denominator[0] for value in (*numerator, *denominator[1:]))
    x1 = x2 = y1 = y2 = 0.0
    filtered = []
    for x in samples:
        y = b0 * x + b1 * x1 + b2 * x2 - a1 * y1 - a2 * y2
        filtered.append(y)
        x1, x2, y1, y2 = x, x1, y, y1
    return filtered
