import math

import pytest
import torch

from fastvideo.models.ltx2.resampling import resample


def tone(frequency_hz: float, rate_hz: int, seconds: float = 0.5) -> torch.Tensor:
    return torch.sin(2 * math.pi * frequency_hz * torch.arange(round(seconds * rate_hz)) / rate_hz)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(24000, 16000), (48000, 16000), (16000, 24000)])
@pytest.mark.parametrize("frequency_hz", [110.0, 1000.0, 3000.0])
def test_a_tone_stays_itself_at_its_place(frequency_hz: float, from_hz: int, to_hz: int) -> None:
    made = resample(tone(frequency_hz, from_hz), from_hz, to_hz)
    expected = tone(frequency_hz, to_hz)
    assert made.shape == expected.shape
    # The ends lie beside silence.
    torch.testing.assert_close(made[200:-200], expected[200:-200], atol=5e-3, rtol=0)


@pytest.mark.parametrize("from_hz", [24000, 48000])
def test_what_the_lower_rate_cannot_hold_is_left_out(from_hz: int) -> None:
    assert resample(tone(11000.0, from_hz), from_hz, 16000)[200:-200].abs().max() < 0.01


@pytest.mark.parametrize(("samples", "made"), [(1, 1), (3, 2), (4, 3), (24000, 16000), (24001, 16001)])
def test_every_channel_keeps_its_duration_rounded_up(samples: int, made: int) -> None:
    waveform = torch.randn(2, 3, samples)
    together = resample(waveform, 24000, 16000)
    assert together.shape == (2, 3, made)
    torch.testing.assert_close(together[1, 2], resample(waveform[1, 2], 24000, 16000))


def test_the_same_rate_changes_nothing() -> None:
    waveform = torch.randn(2, 100)
    assert torch.equal(resample(waveform, 16000, 16000), waveform)
