from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fastvideo.models.ltx2.anti_aliasing import (
    AntiAliasedSnake,
    SnakeBeta,
    hann_sinc_filter,
    kaiser_sinc_filter,
    upsample,
)


def _tone(frequency_hz: float, sample_rate_hz: int, length: int) -> Tensor:
    return torch.sin(2 * math.pi * frequency_hz / sample_rate_hz * torch.arange(length, dtype=torch.float64)).float()


def _identity_snake(channels: int) -> AntiAliasedSnake:
    """Only the resampling: a snake of amplitude zero adds nothing."""
    snake = AntiAliasedSnake(channels).requires_grad_(False)
    snake.act.beta.fill_(80.0)
    return snake


@pytest.mark.parametrize(
    ("weights", "taps"),
    [(kaiser_sinc_filter(2, 12), 12), (kaiser_sinc_filter(3, 19), 19), (hann_sinc_filter(3), 43)],
)
def test_filters_are_symmetric_and_keep_a_constant_signal(weights: Tensor, taps: int) -> None:
    assert weights.shape == (taps,)
    torch.testing.assert_close(weights, weights.flip(0))
    assert float(weights.sum()) == pytest.approx(1.0, rel=1e-3)


def test_a_tone_keeps_its_frequency_and_phase_at_three_times_the_rate() -> None:
    weights = hann_sinc_filter(3)
    out = upsample(_tone(1_000.0, 16_000, 800)[None, None], weights, 3, context=7, skip=42)
    assert out.shape == (1, 1, 2_400)
    expected = _tone(1_000.0, 48_000, 2_400)
    torch.testing.assert_close(out[0, 0, 100:-100], expected[100:-100], atol=5e-3, rtol=0.0)


def test_doubling_and_halving_the_rate_leaves_a_low_tone_as_it_was() -> None:
    tone = _tone(500.0, 16_000, 800)
    out = _identity_snake(2)(tone.expand(1, 2, -1))
    torch.testing.assert_close(out[0, 1, 20:-20], tone[20:-20], atol=5e-3, rtol=0.0)


def test_edges_are_continued_so_that_a_constant_stays_constant() -> None:
    constant = torch.full((1, 3, 17), 0.7)
    torch.testing.assert_close(_identity_snake(3)(constant), constant, atol=1e-5, rtol=0.0)


def test_snake_adds_a_squared_sine_with_a_frequency_and_amplitude_for_each_channel() -> None:
    snake = SnakeBeta(2).requires_grad_(False)
    snake.alpha.copy_(torch.tensor([0.5, -1.0]))
    snake.beta.copy_(torch.tensor([0.2, 0.9]))
    out = snake(torch.full((1, 2, 1), 0.8))
    for channel, (alpha, beta) in enumerate([(0.5, 0.2), (-1.0, 0.9)]):
        expected = 0.8 + math.sin(math.exp(alpha) * 0.8) ** 2 / math.exp(beta)
        assert out[0, channel, 0].item() == pytest.approx(expected, rel=1e-6)


def test_a_harmonic_above_the_nyquist_frequency_folds_back_at_less_than_a_third() -> None:
    # Squaring a tone of 6 kHz makes one of 12 kHz, which at 16 kHz would be heard as 4 kHz. Twelve taps filter softly.
    tone = _tone(6_000.0, 16_000, 1_600)[None, None]
    plain, filtered = SnakeBeta(1).requires_grad_(False), AntiAliasedSnake(1).requires_grad_(False)

    def folded(signal: Tensor) -> float:
        spectrum = torch.fft.rfft(signal[0, 0] * torch.hann_window(1_600))
        return float(spectrum.abs()[395:406].max())

    assert folded(filtered(tone)) < folded(plain(tone)) / 3
