"""One LTX-2 segment, from a resolved request to events."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator

import torch

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import CheckpointError, FastVideoError
from fastvideo.api.results import (
    GenerationResult,
    VideoEvent,
    VideoFinalEvent,
    VideoPartialEvent,
    VideoProgressEvent,
)
from fastvideo.api.schema import ContinuationState, GenerationRequest
from fastvideo.models.ltx2.loader import LTX2Components
from fastvideo.pipelines.basic.ltx2.batch import Frames, LTX2Batch
from fastvideo.pipelines.basic.ltx2.continuation import LTX2ContinuationState
from fastvideo.pipelines.basic.ltx2.join_fade import JoinFade
from fastvideo.pipelines.basic.ltx2.lora_selection import LoraSelection
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig
from fastvideo.pipelines.basic.ltx2.placement import Placement
from fastvideo.pipelines.basic.ltx2.recipe import LTX2Recipe
from fastvideo.pipelines.basic.ltx2.segment_inputs import (
    FPS_KEY,
    STREAM_FRAMES_KEY,
    ContinuationSettings,
    ModelGeometry,
    make_batch,
)
from fastvideo.pipelines.basic.ltx2.segment_plan import AUDIO_LATENTS_PER_SECOND, TEMPORAL_SCALE, whole_latent_frames
from fastvideo.pipelines.basic.ltx2.sequence.lead import SequenceLead
from fastvideo.pipelines.basic.ltx2.sigmas import DISTILLED_SIGMAS
from fastvideo.pipelines.basic.ltx2.stages import (
    LTX2AudioDecodingStage,
    LTX2AudioReencodingStage,
    LTX2ConditioningStage,
    LTX2DenoisingStage,
    LTX2LatentPreparationStage,
    LTX2TextEncodingStage,
    LTX2UpsampleStage,
    LTX2VideoDecodingStage,
)
from fastvideo.pipelines.basic.ltx2.stages.tokens import tokens_to_audio
from fastvideo.pipelines.basic.ltx2.stopwatch import Stopwatch
from fastvideo.pipelines.basic.ltx2.text_cache import TextCache
from fastvideo.pipelines.basic.ltx2.trajectory import Trajectory

logger = logging.getLogger(__name__)

# Gives the request that comes next, once, when it is known.
Upcoming = Callable[[], GenerationRequest | None]
_TEXT_PARTS = ("text_encoder", "connectors")


class LTX2Pipeline:
    """The stages in order. Not thread-safe: one segment at a time, and ``lora`` changes between segments.

    ``lead`` has the transformer run on several ranks. ``clock`` gives seconds, for the timings in the result.
    """

    def __init__(
        self,
        components: LTX2Components,
        config: LTX2T2VConfig,
        *,
        recipe: LTX2Recipe | None = None,
        settings: ContinuationSettings | None = None,
        placement: Placement | None = None,
        lead: SequenceLead | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        video, audio = components.video_vae.config, components.audio_vae.config
        _check_time_grids(components)
        self._config = config
        self._recipe = recipe if recipe is not None else LTX2Recipe()
        self._settings = settings if settings is not None else ContinuationSettings()
        self._placement = placement if placement is not None else Placement(components.modules(), torch.device("cpu"))
        self._clock = clock
        self._lead = lead
        self.lora = (
            LoraSelection(components.modules()) if lead is None else LoraSelection(components.modules(), lead.merge)
        )
        self._audio_channels = audio.latent_channels
        self._geometry = ModelGeometry(
            spatial_scale=video.spatial_scale,
            text_registers=components.config.connectors.connector_num_learnable_registers,
            max_text_tokens=components.text_encoder.max_tokens,
            distilled_sigmas=components.config.transformer.sampling_sigmas or DISTILLED_SIGMAS,
        )
        self.encode_text = LTX2TextEncodingStage(
            components.text_encoder,
            components.connectors,
            TextCache(config.text_cache_entries),
            weights=lambda: self.lora.version,
        )
        self.prepare_latents = LTX2LatentPreparationStage(video, audio, self._placement.device)
        self.condition = LTX2ConditioningStage(components.video_vae, audio.latent_channels, audio.latent_bins)
        self.denoise = LTX2DenoisingStage(
            components.transformer if lead is None else lead,
            spatial_scale=video.spatial_scale,
            temporal_scale=video.temporal_scale,
            keep_text_keys=config.keep_text_keys,
            one_graph=config.one_graph,
        )
        self.upsample = (
            None if components.upsampler is None else LTX2UpsampleStage(components.upsampler, components.video_vae)
        )
        self.reencode_audio = LTX2AudioReencodingStage(components.audio_vae, components.vocoder)
        self.decode_audio = LTX2AudioDecodingStage(components.audio_vae, components.vocoder)
        self.decode_video = LTX2VideoDecodingStage(components.video_vae)

    def close(self) -> None:
        """End the processes of the other ranks, where there are any. Nothing can be generated afterwards."""
        if self._lead is not None:
            self._lead.close()

    def batch(self, request: GenerationRequest, cancel: CancellationToken | None = None) -> LTX2Batch:
        """The checked inputs of a resolved request. Raises ConfigValidationError, StateInvalid or ImageInvalid."""
        return make_batch(request, self._geometry, self._settings, cancel or CancellationToken(), self._recipe)

    @property
    def encodes_ahead(self) -> bool:
        """Whether :meth:`stream` has a use for what is upcoming."""
        return self.encode_text.cache.enabled

    def stream(
        self,
        request: GenerationRequest,
        *,
        cancel: CancellationToken | None = None,
        upcoming: Upcoming = lambda: None,
    ) -> Generator[VideoEvent, None, None]:
        """Progress 0, then one per step of all stages; then partials with new frames only; then one Final, with the
        state if asked.

        The first partial carries the segment's sound. The texts of what is ``upcoming`` are encoded once
        the first frames were given out.
        Raises what :meth:`batch` does, and GenerationCancelled within one step or chunk.
        """
        batch = self.batch(request, cancel)
        runtime = request.runtime
        kept = Trajectory() if runtime.return_trajectory_latents or runtime.return_trajectory_decoded else None
        watch = Stopwatch(self._clock)
        yield VideoProgressEvent(0, batch.steps)

        with watch.timing("text"), self._placement.using(*_TEXT_PARTS):
            self.encode_text(batch, self._config)
        if batch.state is not None and self._settings.reencode_audio:
            with watch.timing("denoise"), self._placement.using("audio_vae", "vocoder"):
                self.reencode_audio(batch, self._config)
        done = 0
        for stage in batch.stages:
            with watch.timing(stage.name):
                self._begin_stage(batch, done)
            # Closed here and not when it is collected: it gives back the weights and the device's memory.
            with contextlib.closing(self._steps(batch)) as steps:
                for step in watch.timing_each(stage.name, steps):
                    if kept is not None:
                        kept.keep(batch, step, self._geometry.spatial_scale)
                    yield VideoProgressEvent(done + step, batch.steps, stage.name)
            done += stage.steps

        with watch.timing("decode"), self._placement.using("audio_vae", "vocoder"):
            self.decode_audio(batch, self._config)
        tail: deque[Frames] = deque(maxlen=self._settings.overlap_frames)
        with self._placement.using("video_vae") if not batch.sound_alone else contextlib.nullcontext():
            for index, frames in enumerate(watch.timing_each("decode", self._new_frames(batch, tail))):
                if index == 0:
                    yield VideoPartialEvent(frames, index, batch.waveform, batch.audio_sample_rate)
                else:
                    yield VideoPartialEvent(frames, index)
                if self._placement.stay(*_TEXT_PARTS):
                    self._encode_ahead(upcoming, watch)

        # What became known late, and what could not be encoded while the video VAE had the device.
        self._encode_ahead(upcoming, watch)
        with watch.timing("state"):
            state = self._next_state(batch, tail) if request.output.return_state else None
        decoded = None
        if kept is not None and runtime.return_trajectory_decoded:
            with watch.timing("trajectory"), self._placement.using("video_vae"):
                decoded = [self.decode_video.frames_of(latents, batch, self._config) for latents in kept.latents]
        elapsed_s = sum(watch.ms.values()) / 1000
        metadata = {
            "generation_time": elapsed_s,
            "inference_time_s": elapsed_s,
            "num_frames": 0 if batch.sound_alone else batch.plan.new_frames,
            "segment_index": 0 if batch.state is None else batch.state.segment_index + 1,
            "timings": dict(watch.ms),
        }
        yield VideoFinalEvent(
            metadata=metadata,
            continuation_state=state,
            result=GenerationResult(
                prompt=batch.prompt,
                audio=batch.waveform,
                audio_sample_rate=batch.audio_sample_rate,
                size=None if batch.sound_alone else (batch.height, batch.width, batch.plan.new_frames),
                generation_time=elapsed_s,
                trajectory=kept.latents if kept is not None and runtime.return_trajectory_latents else None,
                trajectory_timesteps=None if kept is None else kept.timesteps,
                trajectory_decoded=decoded,
                state=state,
                extra=metadata,
            ),
        )

    def _encode_ahead(self, upcoming: Upcoming, watch: Stopwatch) -> None:
        """Encode the texts of the next segment, if they are known, into the cache that its own text stage looks into.

        In this thread, so that weights, device and number of threads are those that the segment itself would have: the
        tensors are equal bit for bit.
        """
        if not self.encodes_ahead:
            return
        # Not beside the steps: on two cores a text of 169 ms, on a thread of its own, made them 272 ms longer. Nor
        # between them: this segment's first frames would come as much later as the next one's come sooner. Once they
        # are out there is something to look at, and no LoRA is merged that is for the refine stage alone.
        try:
            request = upcoming()
            if request is None:
                return
            batch = self.batch(request)
            with watch.timing("text_ahead"), self._placement.using(*_TEXT_PARTS):
                self.encode_text(batch, self._config)
        except (FastVideoError, RuntimeError) as error:
            # This segment is none the worse for it, and the next one will say what is wrong with it.
            logger.warning("the next text could not be encoded ahead (%s)", type(error).__name__)

    def _begin_stage(self, batch: LTX2Batch, done: int) -> None:
        """The latents that a denoising stage starts from: noise, or what the stage before it made, upsampled."""
        if done == 0:
            self.prepare_latents(batch, self._config)
        else:
            assert self.upsample is not None
            with self._placement.using("upsampler", "video_vae"):
                self.upsample(batch, self._config)
        if batch.state is not None or batch.references:
            with self._placement.using("video_vae"):
                self.condition(batch, self._config)

    def _steps(self, batch: LTX2Batch) -> Generator[int, None, None]:
        """The denoising stage's steps, with its weights on the device."""
        with (
            self.lora.during(batch.stage.name),
            self._placement.using("transformer"),
            self.denoise.verifying(batch, self._config),
        ):
            yield from self.denoise.steps(batch)

    def _new_frames(self, batch: LTX2Batch, tail: deque[Frames]) -> Iterator[Frames]:
        """Chunks of frames between overlap and tail; ``tail`` is left with the last frames before the end. None where
        sound alone is made."""
        if batch.sound_alone:
            return
        first, end = batch.plan.overlap_frames, batch.plan.end_frame
        shown = batch.state.video_frames if batch.state is not None else None
        fade: JoinFade | None = None
        position = 0
        with self.decode_video.verifying(batch, self._config):
            for chunk in self.decode_video.chunks(batch, self._config):
                usable = chunk[: max(end - position, 0)]
                if shown and position < first <= position + len(usable):
                    fade = JoinFade(shown[-1], usable[first - position - 1])
                if fade is not None:
                    fade.apply(usable[max(first - position, 0) :])
                # Copies: whoever takes the chunk may draw on it, and large chunks are not kept alive by a few frames.
                tail.extend(usable[-self._settings.overlap_frames :].copy())
                new = usable[max(first - position, 0) :]
                position += len(chunk)
                if len(new):
                    yield new

    def _next_state(self, batch: LTX2Batch, tail: deque[Frames]) -> ContinuationState:
        """What the next segment continues from. The sound is kept as it is, which a mask of 0 says."""
        assert batch.audio is not None
        plan = batch.plan
        # A segment shorter than the overlap leaves as many frames as make whole latents.
        count = whole_latent_frames(len(tail))
        sound = plan.audio_tail(count)
        latents = tokens_to_audio(batch.audio.latents[:, sound.begin : sound.end], self._audio_channels)
        return LTX2ContinuationState(
            segment_index=0 if batch.state is None else batch.state.segment_index + 1,
            video_frames=list(tail)[-count:],
            audio_latents=latents.cpu(),
            audio_sample_rate=batch.audio_sample_rate,
            audio_conditioning_num_frames=sound.num_frames,
            audio_conditioning_strength=0.0,
            video_position_offset_sec=sound.position_offset_s,
            metadata={FPS_KEY: plan.fps, STREAM_FRAMES_KEY: plan.frames_before + plan.new_frames},
        ).to_continuation_state()


def _check_time_grids(components: LTX2Components) -> None:
    """The seam between segments is computed on LTX-2's time grids; a model with others cannot be joined by it."""
    video, audio = components.video_vae.config, components.audio_vae.config
    actual = (video.temporal_scale, audio.latents_per_second, components.transformer.config.in_channels)
    expected = (TEMPORAL_SCALE, AUDIO_LATENTS_PER_SECOND, video.latent_channels)
    if actual != expected:
        raise CheckpointError(
            f"expected {expected[0]} frames a video latent, {expected[1]} audio latents a second, and a transformer "
            f"for {expected[2]} video channels; the checkpoint has {actual[0]}, {actual[1]:g} and {actual[2]}"
        )
