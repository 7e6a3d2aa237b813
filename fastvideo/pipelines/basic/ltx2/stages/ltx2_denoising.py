"""From noise to latents, picture and sound together."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from fastvideo.models.ltx2.rope import audio_positions, video_positions
from fastvideo.models.ltx2.transformer import LTX2Transformer, ModalityInput, Perturbation, RopeTables
from fastvideo.pipelines.basic.ltx2.batch import LTX2Batch, Stream, TextContext
from fastvideo.pipelines.basic.ltx2.guidance import WeakPass
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig
from fastvideo.pipelines.basic.ltx2.stages.stage import Stage

# The clean latents of picture and sound.
Prediction = tuple[Tensor, Tensor]


class LTX2DenoisingStage(Stage):
    """Euler steps of flow matching over the noise levels of the batch's stage; one forward pass each, and one more for
    every weaker prediction that the guidance moves away from.

    With ``one_graph`` a clip without kept tokens is computed in the shapes of one with them, so that a compiled
    transformer has one graph for both.
    """

    def __init__(
        self, transformer: LTX2Transformer, *, spatial_scale: int, temporal_scale: int, one_graph: bool = False
    ) -> None:
        self._transformer = transformer
        self._spatial_scale = spatial_scale
        self._temporal_scale = temporal_scale
        self._one_graph = one_graph
        self._perturbations: dict[WeakPass, Perturbation] = {
            "negative": Perturbation(),
            "perturbed": Perturbation(value_blocks=frozenset({transformer.config.perturbed_block})),
            "isolated": Perturbation(isolated=True),
        }

    def forward(self, batch: LTX2Batch, config: LTX2T2VConfig) -> LTX2Batch:
        for _ in self.steps(batch):
            pass
        return batch

    @torch.inference_mode()
    def steps(self, batch: LTX2Batch) -> Iterator[int]:
        """Denoise ``batch`` in place; yields the number of steps done after each. Checks for cancellation before each
        forward pass.

        Per step: x0 = x - t v with each token's own t = sigma * mask, guided; x0 gives way to what is kept, as far as
        the mask says; then one Euler step with sigma, in float32.
        """
        video, audio, stage = batch.video, batch.audio, batch.stage
        assert video is not None
        assert audio is not None
        device = video.latents.device
        grid, sound = (
            video_positions(
                batch.plan.latent_frames,
                stage.height // self._spatial_scale,
                stage.width // self._spatial_scale,
                fps=batch.plan.fps,
                temporal_scale=self._temporal_scale,
                spatial_scale=self._spatial_scale,
                offset_s=batch.position_offset_s,
                device=device,
            ),
            audio_positions(batch.plan.audio_latents, device=device),
        )
        appended = video.appended_positions
        positions = (grid if appended is None else torch.cat([grid, appended], dim=2), sound)
        rope = self._transformer.rope_tables(*positions)
        for step in range(stage.steps):
            sigma, following = stage.sigmas[step], stage.sigmas[step + 1]
            predictions, weaker = self._step_predictions(batch, sigma, positions, rope)
            for index, (stream, guidance) in enumerate(((video, stage.guidance.video), (audio, stage.guidance.audio))):
                clean = guidance.apply(predictions[index], {name: weak[index] for name, weak in weaker.items()})
                clean = torch.lerp(stream.clean, clean, stream.mask.unsqueeze(-1))
                stream.latents = euler_step(stream.latents, clean, sigma, following)
            if step + 1 == stage.steps:
                video.drop_appended()
            yield step + 1

    def _step_predictions(
        self, batch: LTX2Batch, sigma: float, positions: tuple[Tensor, Tensor], rope: RopeTables
    ) -> tuple[Prediction, dict[WeakPass, Prediction]]:
        """The full prediction of a step, and the weaker ones that its guidance needs."""
        context, negative, passes = batch.context, batch.negative_context, batch.stage.guidance.passes
        assert context is not None
        weaker: dict[WeakPass, Prediction] = {}
        whole = Perturbation(isolated=batch.stage.isolated)
        if batch.stage.batch_cfg and "negative" in passes:
            assert negative is not None
            full, weaker["negative"] = self._predictions(batch, (context, negative), whole, sigma, positions, rope)
        else:
            (full,) = self._predictions(batch, (context,), whole, sigma, positions, rope)
        for name in passes:
            if name not in weaker:
                prompt = negative if name == "negative" else context
                assert prompt is not None
                weak = self._perturbations[name]
                perturbation = weak._replace(isolated=weak.isolated or batch.stage.isolated)
                (weaker[name],) = self._predictions(batch, (prompt,), perturbation, sigma, positions, rope)
        return full, weaker

    def _predictions(
        self,
        batch: LTX2Batch,
        contexts: tuple[TextContext, ...],
        perturbation: Perturbation,
        sigma: float,
        positions: tuple[Tensor, Tensor],
        rope: RopeTables,
    ) -> list[Prediction]:
        """The clean latents of picture and sound, float32, that one forward pass predicts with each context."""
        batch.cancel.raise_if_cancelled()
        assert batch.video is not None
        assert batch.audio is not None
        video_velocity, audio_velocity = self._transformer(
            self._modality(batch.video, sigma, positions[0], [context.video for context in contexts]),
            self._modality(batch.audio, sigma, positions[1], [context.audio for context in contexts]),
            rope=rope,
            perturbation=perturbation,
        )
        return [
            (_clean(batch.video, sigma, video), _clean(batch.audio, sigma, audio))
            for video, audio in zip(video_velocity.split(1), audio_velocity.split(1), strict=True)
        ]

    def _modality(self, stream: Stream, sigma: float, positions: Tensor, contexts: list[Tensor]) -> ModalityInput:
        """The same tokens once for each context."""
        count = len(contexts)
        mask = stream.mask if self._one_graph or not stream.made_whole else stream.mask[:, :1]
        # A stream that is kept whole is clean, also where the other one asks how noisy it is.
        level = 0.0 if stream.frozen else sigma
        return ModalityInput(
            latents=stream.latents.expand(count, -1, -1),
            timesteps=(sigma * mask).expand(count, -1),
            sigma=torch.full((count,), level, device=stream.latents.device),
            positions=positions,
            context=torch.cat(contexts) if count > 1 else contexts[0],
        )

    def verify_input(self, batch: LTX2Batch) -> None:
        ready = None not in (batch.video, batch.audio, batch.context)
        self.check(ready, "the text has not been encoded, or latents have not been prepared")

    def verify_output(self, batch: LTX2Batch) -> None:
        for stream in (batch.video, batch.audio):
            self.check(stream is not None and bool(torch.isfinite(stream.latents).all()), "latents are not finite")


def euler_step(latents: Tensor, clean: Tensor, sigma: float, following: float) -> Tensor:
    """One step from noise level ``sigma`` to ``following``: x + (sigma' - sigma) (x - x0) / sigma."""
    return latents + (following - sigma) * ((latents - clean) / sigma)


def _clean(stream: Stream, sigma: float, velocity: Tensor) -> Tensor:
    timesteps = (sigma * stream.mask).unsqueeze(-1)
    return stream.latents - timesteps * velocity.float()
