"""Windowed-sinc resampling of 1-D signals, and activations that run at twice the rate (BigVGAN)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_RATIO = 2
_TAPS = 12
_CPU = torch.device("cpu")


def kaiser_sinc_filter(ratio: int, taps: int) -> Tensor:
    """Low-pass filter [taps] for a change of rate by ``ratio``: a sinc under a Kaiser window, sum 1.

    The cut-off is the Nyquist frequency of the lower rate, the transition 1.2 times that wide; Kaiser's formulas
    turn taps and width into the window's beta.
    """
    cutoff, half_width = 0.5 / ratio, 0.6 / ratio
    attenuation_db = 2.285 * (taps // 2 - 1) * math.pi * 4 * half_width + 7.95
    if attenuation_db > 50.0:
        beta = 0.1102 * (attenuation_db - 8.7)
    elif attenuation_db >= 21.0:
        beta = 0.5842 * (attenuation_db - 21.0) ** 0.4 + 0.07886 * (attenuation_db - 21.0)
    else:
        beta = 0.0
    window = torch.kaiser_window(taps, periodic=False, beta=beta, dtype=torch.float64, device=_CPU)
    time = torch.arange(taps, dtype=torch.float64, device=_CPU) - (taps - 1) / 2
    weights = window * torch.sinc(2 * cutoff * time)
    return (weights / weights.sum()).float()


def hann_sinc_filter(ratio: int, *, zero_crossings: int = 6, rolloff: float = 0.99) -> Tensor:
    """Interpolation filter for a rate ``ratio`` times as high: a sinc under a Hann window, with a gain of 1 / ratio.

    Returns [2 * ceil(zero_crossings / rolloff) * ratio + 1].
    """
    width = math.ceil(zero_crossings / rolloff)
    time = (torch.arange(2 * width * ratio + 1, dtype=torch.float64, device=_CPU) / ratio - width) * rolloff
    window = torch.cos(time.clamp(-zero_crossings, zero_crossings) * (math.pi / zero_crossings / 2)).square()
    return (torch.sinc(time) * window * (rolloff / ratio)).float()


def upsample(x: Tensor, weights: Tensor, ratio: int, *, context: int, skip: int) -> Tensor:
    """[B, C, T] to [B, C, ratio * T]: zeros between the samples, then the filter, one for all channels.

    The edge samples are repeated ``context`` times on both sides; ``skip`` is the output index of time 0.
    """
    channels, length = x.shape[1], x.shape[2]
    padded = F.pad(x, (context, context), mode="replicate")
    filters = (ratio * weights).expand(channels, 1, -1)
    return F.conv_transpose1d(padded, filters, stride=ratio, groups=channels)[..., skip : skip + ratio * length]


class SnakeBeta(nn.Module):
    """x + sin²(e^alpha x) / (e^beta + 1e-9), alpha and beta for each channel. x: [B, C, T]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        frequency = self.alpha.exp()[:, None]
        amplitude = (self.beta.exp() + 1e-9).reciprocal()[:, None]
        return torch.addcmul(x, amplitude, torch.sin(x * frequency).square())


class _Upsample(nn.Module):
    """Doubles the rate."""

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", kaiser_sinc_filter(_RATIO, _TAPS).view(1, 1, -1))

    def forward(self, x: Tensor) -> Tensor:
        context = _TAPS // _RATIO - 1
        return upsample(x, self.filter, _RATIO, context=context, skip=context * _RATIO + (_TAPS - _RATIO) // 2)


class _LowPass(nn.Module):
    """Halves the rate."""

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", kaiser_sinc_filter(_RATIO, _TAPS).view(1, 1, -1))

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        padded = F.pad(x, ((_TAPS - 1) // 2, _TAPS // 2), mode="replicate")
        return F.conv1d(padded, self.filter.expand(channels, 1, -1), stride=_RATIO, groups=channels)


class _Downsample(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lowpass = _LowPass()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.lowpass(x)
        return out


class AntiAliasedSnake(nn.Module):
    """SnakeBeta at twice the sample rate, so that the harmonics it makes are filtered out and do not fold back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.upsample = _Upsample()
        self.act = SnakeBeta(channels)
        self.downsample = _Downsample()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.downsample(self.act(self.upsample(x)))
        return out
