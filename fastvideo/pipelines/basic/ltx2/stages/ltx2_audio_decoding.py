"""From audio latents to the sound of the new frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fastvideo.models.ltx2.audio_vae import AudioVAE
from fastvideo.models.ltx2.vocoder import Vocoder
from fastvideo.pipelines.basic.ltx2.batch import LTX2Batch
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig
from fastvideo.pipelines.basic.ltx2.stages.stage import Stage
from fastvideo.pipelines.basic.ltx2.stages.tokens import tokens_to_audio

Samples = np.ndarray[Any, np.dtype[np.float32]]

# Short enough that nobody hears two sounds, long enough that no sample stands out.
_FADE_S = 0.02


class LTX2AudioDecodingStage(Stage):
    """The whole sound is decoded, carried part included, so that what is emitted has its context; then it is cut."""

    def __init__(self, audio_vae: AudioVAE, vocoder: Vocoder) -> None:
        self._audio_vae = audio_vae
        self._vocoder = vocoder

    def forward(self, batch: LTX2Batch, config: LTX2T2VConfig) -> LTX2Batch:
        if batch.audio is None:
            return batch
        with torch.inference_mode():
            latents = tokens_to_audio(batch.audio.latents, self._audio_vae.config.latent_channels)
            sound = self._vocoder(self._audio_vae.decode(latents))[0]
        batch.audio_sample_rate = self._vocoder.sample_rate
        start, count = batch.plan.sample_span(batch.audio_sample_rate)
        batch.waveform = np.ascontiguousarray(sound[:, start : start + count].cpu().numpy(), dtype=np.float32)
        if batch.sound_before is not None:
            _fade_from(batch.sound_before, batch.waveform, round(_FADE_S * batch.audio_sample_rate))
        return batch

    def verify_output(self, batch: LTX2Batch) -> None:
        if batch.waveform is None or batch.audio_sample_rate is None:
            return
        _, count = batch.plan.sample_span(batch.audio_sample_rate)
        self.check(batch.waveform.shape[1] == count, f"expected {count} samples, got {batch.waveform.shape[1]}")
        self.check(bool(np.isfinite(batch.waveform).all()), "the sound is not finite")


def _fade_from(before: Samples, waveform: Samples, length: int) -> None:
    """Begin ``waveform`` [C, N] with ``before`` [C, M], in place, and go over to its own within ``length`` samples."""
    length = min(length, before.shape[1], waveform.shape[1])
    own = (np.arange(length, dtype=np.float32) + 0.5) / max(length, 1)
    waveform[:, :length] = before[:, :length] * (1 - own) + waveform[:, :length] * own
