"""Change of a waveform's sample rate by a fraction, such as from a vocoder's rate to the audio VAE's."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_ZERO_CROSSINGS = 6
_ROLLOFF = 0.99


def resample(waveform: Tensor, from_hz: int, to_hz: int) -> Tensor:
    """Waveform [..., N] at ``from_hz`` to float32 [..., ceil(N * to_hz / from_hz)] at ``to_hz``, without a delay.

    Each new sample is a sum of its neighbours, weighted by a sinc under a Hann window whose cut-off lies just below
    half the lower rate. Beyond its ends the waveform counts as silence.
    """
    waveform = waveform.float()
    if from_hz == to_hz:
        return waveform
    divisor = math.gcd(from_hz, to_hz)
    step, phases = from_hz // divisor, to_hz // divisor
    filters, reach = _filters(step, phases)
    count = -(-waveform.shape[-1] * phases // step)
    blocks = -(-count // phases)
    rows = waveform.reshape(-1, 1, waveform.shape[-1])
    # Each block of ``step`` samples gives ``phases`` new ones.
    padded = F.pad(rows, (reach, blocks * step - rows.shape[-1] + reach))
    made = F.conv1d(padded, filters.to(waveform.device), stride=step)
    return made.transpose(1, 2).reshape(*waveform.shape[:-1], -1)[..., :count]


def _filters(step: int, phases: int) -> tuple[Tensor, int]:
    """The weights [phases, 1, 2 * reach + step] of a block's new samples, and how far they reach beyond the block."""
    cpu = torch.device("cpu")
    bandwidth = min(step, phases) / step * _ROLLOFF
    reach = math.ceil(_ZERO_CROSSINGS / bandwidth)
    old = torch.arange(-reach, reach + step, dtype=torch.float64, device=cpu)
    new = torch.arange(phases, dtype=torch.float64, device=cpu)[:, None] * (step / phases)
    time = (old - new) * bandwidth
    window = torch.cos(time.clamp(-_ZERO_CROSSINGS, _ZERO_CROSSINGS) * (math.pi / _ZERO_CROSSINGS / 2)).square()
    return (torch.sinc(time) * window * bandwidth).float()[:, None], reach
