"""From the first stage's latents to noisy ones of twice the size, for the refine stage."""

from __future__ import annotations

import torch

from fastvideo.models.ltx2.upsampler import LatentUpsampler
from fastvideo.models.ltx2.video_vae import VideoVAE
from fastvideo.pipelines.basic.ltx2.batch import LTX2Batch, Stream
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig
from fastvideo.pipelines.basic.ltx2.stages.stage import Stage
from fastvideo.pipelines.basic.ltx2.stages.tokens import tokens_to_video, video_to_tokens


class LTX2UpsampleStage(Stage):
    """Moves the batch on to its next denoising stage: the picture at twice its size, the sound as it is, both with the
    noise of that stage's first level."""

    def __init__(self, upsampler: LatentUpsampler, video_vae: VideoVAE) -> None:
        self._upsampler = upsampler
        self._statistics = video_vae.per_channel_statistics
        self._spatial_scale = video_vae.spatial_scale

    def forward(self, batch: LTX2Batch, config: LTX2T2VConfig) -> LTX2Batch:
        assert batch.video is not None
        assert batch.audio is not None
        scale = self._spatial_scale
        grid = (batch.plan.latent_frames, batch.stage.height // scale, batch.stage.width // scale)
        with torch.inference_mode():
            # The upsampler was trained on latents as the encoder makes them, before they are normalised.
            latents = self._statistics.denormalize(tokens_to_video(batch.video.latents, *grid))
            larger = self._upsampler(latents.to(next(self._upsampler.parameters()).dtype)).to(latents.dtype)
            picture = video_to_tokens(self._statistics.normalize(larger))
        batch.stage_index += 1
        sigma = batch.stage.sigmas[0] if batch.stage.add_noise else 0.0
        batch.video = Stream.noised(picture, batch.noise(tuple(picture.shape)).to(picture), sigma)
        sound = batch.audio.latents
        batch.audio = Stream.noised(sound, batch.noise(tuple(sound.shape)).to(sound), sigma)
        return batch

    def verify_input(self, batch: LTX2Batch) -> None:
        self.check(batch.video is not None and batch.audio is not None, "latents have not been prepared")
        self.check(batch.stage_index + 1 < len(batch.stages), "there is no stage to go on to")

    def verify_output(self, batch: LTX2Batch) -> None:
        tokens = batch.plan.latent_frames
        tokens *= (batch.stage.height // self._spatial_scale) * (batch.stage.width // self._spatial_scale)
        found = None if batch.video is None else batch.video.latents.shape[1]
        self.check(found == tokens, f"expected {tokens} tokens, got {found}")
