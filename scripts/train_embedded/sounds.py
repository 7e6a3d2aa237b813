"""Batches of stretches of the world's sound for training, each the same function of a seed and a step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import default_rng
from numpy.typing import NDArray
from torch import Tensor

from fastvideo.models.ltx2.mel import LogMelSpectrogram, MelConfig
from scripts.train_embedded.world.held_out import Split
from scripts.train_embedded.world.sound import sound_of
from scripts.train_embedded.world.story import story

MEL_RATE_HZ = 16_000
WAVE_RATE_HZ = 24_000
MEL_HOP = 160
WAVE_HOP = 240
QUIET = -6.0
"""Log-mel below this, some 50 dB under a tone, is heard as silence."""

_HALF_WINDOW = 512
_SEGMENTS = 2
_STRETCHES_OF_A_STORY = 4
# How many stretches begin where their story does.
_AT_THE_START = 0.25
# Beyond any step of a run: validation shares no story with training.
_VALIDATION_STEP = 2**40


@dataclass(frozen=True)
class Stretches:
    """A batch of stretches of ``T`` mel frames.

    ``mel``: log-mel [B, 2, T, 64] of sound whose surroundings are known. ``cut_mel``: the same where it is cut out,
    so that its edges are mirrored. ``wave``: samples [B, 2, 240 T] at 24 kHz; frame n stands for 240 n and on.
    """

    mel: Tensor
    cut_mel: Tensor
    wave: Tensor


class Sounds:
    """The sound of the first stories of a seed, drawn once: its batches cost little."""

    def __init__(self, seed: int, stories: int, split: Split = Split.TRAIN) -> None:
        self._seed = seed
        self._pairs: list[tuple[NDArray[np.float16], NDArray[np.float16]]] = []
        for index in range(stories):
            segments = [shot.segment for shot in story(seed, index, num_segments=_SEGMENTS, split=split)]
            low, high = (
                np.concatenate([sound_of(segment, rate_hz) for segment in segments], axis=1)
                for rate_hz in (MEL_RATE_HZ, WAVE_RATE_HZ)
            )
            # A story begins in silence. Half precision is exact to -70 dB.
            self._pairs.append((np.pad(low, ((0, 0), (_HALF_WINDOW, 0))).astype(np.float16), high.astype(np.float16)))

    def batch(self, step: int, batch: int, mel_frames: int) -> Stretches:
        """``batch`` stretches of ``mel_frames`` frames, from the stories' grid of 10 ms on."""
        rng = default_rng([self._seed, step, 3])
        around, waves = [], []
        for number in rng.choice(len(self._pairs), batch, replace=batch > len(self._pairs)):
            low, high = self._pairs[number]
            latest = (low.shape[1] - 2 * _HALF_WINDOW) // MEL_HOP - mel_frames
            first = 0 if rng.random() < _AT_THE_START else int(rng.integers(latest + 1))
            around.append(low[:, first * MEL_HOP : (first + mel_frames) * MEL_HOP + 2 * _HALF_WINDOW])
            waves.append(high[:, first * WAVE_HOP : (first + mel_frames) * WAVE_HOP])
        return _stretches(np.stack(around).astype(np.float32), np.stack(waves).astype(np.float32), mel_frames)


def _stretches(around: NDArray[np.float32], waves: NDArray[np.float32], mel_frames: int) -> Stretches:
    sound = torch.from_numpy(around)
    spectrogram = LogMelSpectrogram(MelConfig())
    # Without its mirrored edges, 3 frames of 10 ms and a bit, the middle begins 512 samples later: no whole frame.
    shift = -_HALF_WINDOW % MEL_HOP
    known = spectrogram(torch.nn.functional.pad(sound, (shift, 0)))
    skipped = (_HALF_WINDOW + shift) // MEL_HOP
    cut = spectrogram(sound[..., _HALF_WINDOW:])
    return Stretches(known[:, :, skipped : skipped + mel_frames], cut[:, :, :mel_frames], torch.from_numpy(waves))
