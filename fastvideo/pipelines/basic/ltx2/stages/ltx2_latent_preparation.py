"""The noise that a segment starts from."""

from __future__ import annotations

from fastvideo.models.ltx2.audio_vae import AudioVAEConfig
from fastvideo.models.ltx2.video_vae import VideoVAEConfig
from fastvideo.pipelines.basic.ltx2.batch import LTX2Batch, Stream
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig
from fastvideo.pipelines.basic.ltx2.stages.stage import Stage


class LTX2LatentPreparationStage(Stage):
    """Tokens of pure noise: the picture's first, then the sound's, from one source, in the order of the tokens.

    A segment's frame count is 8k+1 by its plan; its latent grid is 1 + k by height / s by width / s.
    """

    def __init__(self, video: VideoVAEConfig, audio: AudioVAEConfig, device: str) -> None:
        self._video = video
        self._audio = audio
        self._device = device

    def forward(self, batch: LTX2Batch, config: LTX2T2VConfig) -> LTX2Batch:
        video_tokens = batch.plan.latent_frames * self._tokens_per_frame(batch)
        audio_channels = self._audio.latent_channels * self._audio.latent_bins
        batch.video = Stream.of_noise(batch.noise((1, video_tokens, self._video.latent_channels)).to(self._device))
        batch.audio = Stream.of_noise(batch.noise((1, batch.plan.audio_latents, audio_channels)).to(self._device))
        return batch

    def verify_input(self, batch: LTX2Batch) -> None:
        scale = self._video.spatial_scale
        self.check(
            batch.stage.height % scale == 0 and batch.stage.width % scale == 0,
            f"{batch.stage.width}x{batch.stage.height} is not a multiple of {scale} px",
        )

    def _tokens_per_frame(self, batch: LTX2Batch) -> int:
        return (batch.stage.height // self._video.spatial_scale) * (batch.stage.width // self._video.spatial_scale)
