"""The carried sound, taken through the waveform once more (``streaming.pool.enable_audio_reencode``)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fastvideo.models.ltx2.audio_vae import AudioVAE
from fastvideo.models.ltx2.mel import LogMelSpectrogram
from fastvideo.models.ltx2.resampling import resample
from fastvideo.models.ltx2.vocoder import Vocoder
from fastvideo.pipelines.basic.ltx2.batch import LTX2Batch
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig
from fastvideo.pipelines.basic.ltx2.stages.stage import Stage
from fastvideo.pipelines.basic.ltx2.stages.tokens import check_audio_latents


class LTX2AudioReencodingStage(Stage):
    """Decodes the latents that a segment takes over and encodes what is heard of them, cut to that span.

    Carried latents stand in other places of the new segment than they were made for: the first one covers 10 ms of
    sound there, not 40. Encoded anew they are latents of just this clip. Their sound is then not the old one to the
    sample, so the old one's is kept for the join (``batch.sound_before``), which fades from it.
    """

    def __init__(self, audio_vae: AudioVAE, vocoder: Vocoder) -> None:
        self._audio_vae = audio_vae
        self._vocoder = vocoder
        self._log_mel = LogMelSpectrogram(audio_vae.config.mel)

    def forward(self, batch: LTX2Batch, config: LTX2T2VConfig) -> LTX2Batch:
        state, count = batch.state, batch.plan.audio_context_latents
        # A mask of 1 makes all of the sound anew.
        if state is None or state.audio_latents is None or count == 0 or state.audio_conditioning_strength == 1.0:
            return batch
        audio = self._audio_vae.config
        check_audio_latents(state.audio_latents, audio.latent_channels, audio.latent_bins)
        weights = next(self._audio_vae.parameters())
        with torch.inference_mode():
            carried = state.audio_latents[:, :, -count:].to(weights.device)
            sound = self._vocoder(self._audio_vae.decode(carried))
            latents = self._encoded(sound, carried.shape[2])
        start, _ = batch.plan.sample_span(self._vocoder.sample_rate)
        batch.sound_before = sound[0, :, start:].cpu().numpy()
        # Encoding is all that makes these; they stay ordinary tensors for the steps to come.
        batch.state = replace(state, audio_latents=latents.float().clone())
        return batch

    def _encoded(self, sound: Tensor, count: int) -> Tensor:
        """``count`` latents of a waveform [1, C, N] of that many."""
        audio = self._audio_vae.config
        mel = self._log_mel.to(sound.device)(resample(sound, self._vocoder.sample_rate, audio.mel.sample_rate_hz))
        # The last frame is centred on the waveform's end, one after those that the latents stand for.
        return self._audio_vae.encode(mel[:, :, : audio.time_scale * (count - 1) + 1])
