"""From noise to latents, picture and sound together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from fastvideo.models.ltx2.rope import audio_positions, video_positions
from fastvideo.models.ltx2.transformer import (
    LTX2TransformerConfig,
    ModalityInput,
    Perturbation,
    RopeTables,
    TextInput,
)
from fastvideo.pipelines.basic.ltx2.batch import LTX2Batch, Stream, TextContext
from fastvideo.pipelines.basic.ltx2.guidance import WeakPass
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig
from fastvideo.pipelines.basic.ltx2.stages.stage import Stage

# The clean latents of picture and sound.
Prediction = tuple[Tensor, Tensor]


class VelocityModel(Protocol):
    """A transformer, wherever it runs; see ``LTX2Transformer``. A stage asks for tables first, then for texts."""

    config: LTX2TransformerConfig

    def rope_tables(self, video_positions: Tensor, audio_positions: Tensor) -> RopeTables: ...

    def text_input(self, video_context: Tensor, audio_context: Tensor, *, keep_keys: bool = False) -> TextInput: ...

    def __call__(
        self,
        video: ModalityInput,
        audio: ModalityInput,
        *,
        rope: RopeTables,
        text: TextInput,
        perturbation: Perturbation,
    ) -> Prediction: ...


class _Conditions(NamedTuple):
    """What is the same in all steps of a stage; texts by the contexts that they were made from."""

    positions: tuple[Tensor, Tensor]
    rope: RopeTables
    texts: dict[tuple[int, ...], TextInput]


class LTX2DenoisingStage(Stage):
    """Euler steps of flow matching over the noise levels of the batch's stage; one forward pass each, and one more for
    every weaker prediction that the guidance moves away from.

    ``keep_text_keys`` makes the text's keys and values once a stage, in place of once a step. With ``one_graph`` a clip
    without kept tokens is computed in the shapes of one with them, so that a compiled
    transformer has one graph for both.
    """

    def __init__(
        self,
        transformer: VelocityModel,
        *,
        spatial_scale: int,
        temporal_scale: int,
        keep_text_keys: bool = True,
        one_graph: bool = False,
    ) -> None:
        self._transformer = transformer
        self._spatial_scale = spatial_scale
        self._temporal_scale = temporal_scale
        self._keep_text_keys = keep_text_keys
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
        conditions = _Conditions(positions, self._transformer.rope_tables(*positions), {})
        for step in range(stage.steps):
            sigma, following = stage.sigmas[step], stage.sigmas[step + 1]
            predictions, weaker = self._step_predictions(batch, sigma, conditions)
            for index, (stream, guidance) in enumerate(((video, stage.guidance.video), (audio, stage.guidance.audio))):
                clean = guidance.apply(predictions[index], {name: weak[index] for name, weak in weaker.items()})
                clean = torch.lerp(stream.clean, clean, stream.mask.unsqueeze(-1))
                stream.latents = euler_step(stream.latents, clean, sigma, following)
            if step + 1 == stage.steps:
                video.drop_appended()
            yield step + 1

    def _step_predictions(
        self, batch: LTX2Batch, sigma: float, conditions: _Conditions
    ) -> tuple[Prediction, dict[WeakPass, Prediction]]:
        """The full prediction of a step, and the weaker ones that its guidance needs."""
        context, negative, passes = batch.context, batch.negative_context, batch.stage.guidance.passes
        assert context is not None
        weaker: dict[WeakPass, Prediction] = {}
        whole = Perturbation(isolated=batch.stage.isolated)
        if batch.stage.batch_cfg and "negative" in passes:
            assert negative is not None
            full, weaker["negative"] = self._predictions(batch, (context, negative), whole, sigma, conditions)
        else:
            (full,) = self._predictions(batch, (context,), whole, sigma, conditions)
        for name in passes:
            if name not in weaker:
                prompt = negative if name == "negative" else context
                assert prompt is not None
                weak = self._perturbations[name]
                perturbation = weak._replace(isolated=weak.isolated or batch.stage.isolated)
                (weaker[name],) = self._predictions(batch, (prompt,), perturbation, sigma, conditions)
        return full, weaker

    def _predictions(
        self,
        batch: LTX2Batch,
        contexts: tuple[TextContext, ...],
        perturbation: Perturbation,
        sigma: float,
        conditions: _Conditions,
    ) -> list[Prediction]:
        """The clean latents of picture and sound, float32, that one forward pass predicts with each context."""
        batch.cancel.raise_if_cancelled()
        assert batch.video is not None
        assert batch.audio is not None
        video, audio = (
            self._modality(stream, sigma, positions, len(contexts))
            for stream, positions in zip((batch.video, batch.audio), conditions.positions, strict=True)
        )
        video_velocity, audio_velocity = self._transformer(
            video,
            audio,
            rope=conditions.rope,
            text=self._text(contexts, conditions.texts),
            perturbation=perturbation,
        )
        return [
            (_clean(batch.video, sigma, video), _clean(batch.audio, sigma, audio))
            for video, audio in zip(torch.split(video_velocity, 1), torch.split(audio_velocity, 1), strict=True)
        ]

    def _text(self, contexts: tuple[TextContext, ...], made: dict[tuple[int, ...], TextInput]) -> TextInput:
        """The contexts as samples of one batch, as the transformer reads them."""
        key = tuple(id(context) for context in contexts)
        if key not in made:
            streams = [torch.cat(parts) if len(parts) > 1 else parts[0] for parts in zip(*contexts, strict=True)]
            made[key] = self._transformer.text_input(*streams, keep_keys=self._keep_text_keys)
        return made[key]

    def _modality(self, stream: Stream, sigma: float, positions: Tensor, count: int) -> ModalityInput:
        """The same tokens ``count`` times."""
        mask = stream.mask if self._one_graph or not stream.made_whole else stream.mask[:, :1]
        # A stream that is kept whole is clean, also where the other one asks how noisy it is.
        level = 0.0 if stream.frozen else sigma
        return ModalityInput(
            latents=stream.latents.expand(count, -1, -1),
            timesteps=(sigma * mask).expand(count, -1),
            sigma=torch.full((count,), level, device=stream.latents.device),
            positions=positions,
            context=None,
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
