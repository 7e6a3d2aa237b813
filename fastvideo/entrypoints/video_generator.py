"""``VideoGenerator``: a loaded model that answers requests, whole or as events. Importing it does not import torch."""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.compat import normalize_generation_request
from fastvideo.api.errors import FastVideoError, GenerationCancelled, GenerationFailed
from fastvideo.api.limits import RequestLimits, validate_request
from fastvideo.api.overrides import Overrides, apply_overrides, normalize_overrides
from fastvideo.api.parser import load_raw_config, parse_config
from fastvideo.api.precedence import resolve_request
from fastvideo.api.presets import validate_stage_overrides
from fastvideo.api.results import GenerationResult, VideoEvent, VideoFinalEvent, VideoPartialEvent
from fastvideo.api.schema import GenerationRequest, GeneratorConfig, GpuPoolConfig, OutputConfig, SamplingConfig
from fastvideo.api.upcoming_text import UpcomingText
from fastvideo.entrypoints.convenience_kwargs import config_from_kwargs
from fastvideo.entrypoints.log_queue import logging_to
from fastvideo.entrypoints.model_path import local_checkpoint
from fastvideo.entrypoints.off_the_loop import off_the_loop
from fastvideo.entrypoints.output_files import write_video
from fastvideo.entrypoints.prompt_expansion import expand_prompts
from fastvideo.pipelines.basic.ltx2.presets import select_preset
from fastvideo.pipelines.basic.ltx2.recipe import LTX2Recipe
from fastvideo.pipelines.basic.ltx2.support import check_generator_config, check_request, check_selection

if TYPE_CHECKING:
    from fastvideo.pipelines.basic.ltx2.pipeline import LTX2Pipeline

logger = logging.getLogger(__name__)

Events = Generator[VideoEvent, None, None]

# How often a call that waits for its turn looks whether it was cancelled.
_TURN_POLL_S = 0.05
_SHUTDOWN_WAIT_S = 30.0


class VideoGenerator:
    """One LTX-2 model. Calls from several threads take turns; ``with`` shuts it down at the end.

    ``pool`` says how segments are joined (``streaming.pool.conditioning_*``), ``limits`` what a request may ask for.
    ``config`` is what it was built from, ``model_id`` names the checkpoint, and the defaults of ``preset`` lie under
    what a request sets.
    """

    def __init__(
        self, config: GeneratorConfig, *, pool: GpuPoolConfig | None = None, limits: RequestLimits | None = None
    ) -> None:
        check_generator_config(config)
        self.config = config
        self._limits = limits or RequestLimits()
        selection = config.pipeline
        self.preset = select_preset(
            config.model_path, selection.preset, selection.preset_version, selection.preset_overrides
        )
        check_selection(config, self.preset)
        self._recipe = LTX2Recipe.of(self.preset, selection.preset_overrides, selection.workload_type)
        checkpoint = local_checkpoint(config.model_path)
        # torch is imported here, so that everything above answers at once.
        from fastvideo.pipelines.basic.ltx2.building import build_pipeline

        self._pipeline: LTX2Pipeline | None = build_pipeline(checkpoint, config, pool, recipe=self._recipe)
        self.model_id = checkpoint.name if checkpoint.is_dir() else checkpoint.stem
        self._turn = threading.Lock()
        self._current: CancellationToken | None = None

    @classmethod
    def from_pretrained(
        cls, model_path: str | GeneratorConfig | Mapping[str, Any] | None = None, **kwargs: Any
    ) -> VideoGenerator:
        """From a path and convenience arguments, or from one typed configuration (also as ``config=``).

        Raises TypeError when both are given, for neither, and for an argument that has a typed home, which it names.
        """
        log_queue = kwargs.pop("log_queue", None)
        if "config" in kwargs:
            config = kwargs.pop("config")
            if model_path is not None:
                raise TypeError("from_pretrained takes either model_path or config, not both")
            source = config
        elif model_path is None:
            raise TypeError("from_pretrained needs a model_path, or config=")
        elif isinstance(model_path, str):
            return cls.from_config(config_from_kwargs(model_path, kwargs), log_queue=log_queue)
        else:
            source = model_path
        if kwargs:
            raise TypeError(f"a config takes no further arguments, set them in it: {', '.join(sorted(kwargs))}")
        return cls.from_config(source, log_queue=log_queue)

    @classmethod
    def from_config(cls, config: GeneratorConfig | Mapping[str, Any], *, log_queue: Any = None) -> VideoGenerator:
        """From a typed configuration or its mapping. Raises ConfigValidationError or CheckpointError."""
        with logging_to(log_queue):
            return cls(parse_config(GeneratorConfig, config))

    @classmethod
    def from_file(cls, path: str | Path, overrides: Overrides = None, *, log_queue: Any = None) -> VideoGenerator:
        """From a generator file, or the ``generator`` block of a run or serve file; so may overrides be prefixed."""
        raw = load_raw_config(path)
        changes = normalize_overrides(overrides)
        if "generator" not in raw:
            changes = {key.removeprefix("generator."): value for key, value in changes.items()}
            return cls.from_config(apply_overrides(raw, changes), log_queue=log_queue)
        changes = {key if key.startswith("generator.") else f"generator.{key}": v for key, v in changes.items()}
        return cls.from_config(apply_overrides(raw, changes)["generator"], log_queue=log_queue)

    def resolve(self, request: GenerationRequest) -> GenerationRequest:
        """The request with the preset's values under its own, checked. Raises ConfigValidationError or StateInvalid."""
        resolved = resolve_request(normalize_generation_request(request), preset_defaults=self.preset.defaults)
        validate_request(resolved, self._limits)
        validate_stage_overrides(self.preset, resolved.stage_overrides)
        check_request(resolved, guided=self._recipe.guided)
        return resolved

    @property
    def encodes_ahead(self) -> bool:
        """Whether :meth:`stream` has a use for what is ``upcoming``: ``engine.text_cache_entries`` is not 0."""
        return self.config.engine.text_cache_entries > 0

    def stream(
        self,
        request: GenerationRequest,
        *,
        cancel: CancellationToken | None = None,
        upcoming: UpcomingText | None = None,
    ) -> Events:
        """Progress 0, one Progress per denoising step, Partials of new frames as they are decoded, and one Final.

        The first Partial carries the sound; with a workload of sound alone there is none, and the Final's result has
        it. Final has metadata, with the process's high-water mark of memory (``peak_memory_mb``, of the accelerator if
        there is one), and the state when ``output.return_state``; frames went with the Partials. ``cancel`` ends it
        within one step or chunk with GenerationCancelled. The text of the request that is ``upcoming``, whoever makes
        it, is encoded once the first frames are out; it then takes no time.
        """
        token = cancel if cancel is not None else CancellationToken()
        resolved = self.resolve(request)

        def following() -> GenerationRequest | None:
            told = None if upcoming is None else upcoming.take()
            return None if told is None else self.resolve(told)

        with (
            self._own_turn(token) as pipeline,
            contextlib.closing(pipeline.stream(resolved, cancel=token, upcoming=following)) as events,
        ):
            for event in events:
                if isinstance(event, VideoFinalEvent):
                    event.metadata["peak_memory_mb"] = _peak_memory_mb()
                yield event

    def generate(
        self,
        request: GenerationRequest | Mapping[str, Any],
        *,
        log_queue: Any = None,
        cancel: CancellationToken | None = None,
    ) -> GenerationResult | list[GenerationResult]:
        """One whole result, or a list for a list of prompts or a prompt file; videos are written if asked.

        A prompt of a file that fails is logged and left out, unless all fail. ``cancel`` ends the work within one step
        with GenerationCancelled.
        """
        with logging_to(log_queue):
            parsed = normalize_generation_request(request)
            singles = expand_prompts(parsed)
            if singles is None:
                return self._generate_one(parsed, cancel)
            results: list[GenerationResult] = []
            failure: FastVideoError | None = None
            for index, single in enumerate(singles):
                try:
                    results.append(self._generate_one(single, cancel, prompt_index=index))
                except GenerationCancelled:
                    raise
                except FastVideoError as error:
                    if parsed.inputs.prompt_path is None:
                        raise
                    logger.warning("prompt %d of %s failed: %s", index + 1, parsed.inputs.prompt_path, error)
                    failure = error
            if failure is not None and not results:
                raise failure
            return results

    async def generate_async(
        self, request: GenerationRequest | Mapping[str, Any], *, log_queue: Any = None
    ) -> AsyncGenerator[VideoEvent, None]:
        """The events of :meth:`stream`, off the event loop; each Final has the video as MP4 bytes, and its result.

        One Final per prompt, in order. Closing the generator cancels the work within one step. Errors are raised.
        """
        parsed = normalize_generation_request(request)
        singles = expand_prompts(parsed)
        with logging_to(log_queue), ThreadPoolExecutor(1, thread_name_prefix="video-generator") as thread:
            for index, single in enumerate(singles if singles is not None else [parsed]):
                cancel = CancellationToken()
                events = self._whole(single, cancel, prompt_index=None if singles is None else index, encode=True)
                async with contextlib.aclosing(off_the_loop(events, cancel, thread)) as stream:
                    async for event in stream:
                        yield event

    def generate_video(
        self, prompt: str | list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """Deprecated: :meth:`generate` with flat arguments and results. ``kwargs`` are fields of sampling, inputs and
        output, and ``negative_prompt`` or ``neg_prompt``; TypeError for others."""
        warnings.warn("generate_video is deprecated, use generate", DeprecationWarning, stacklevel=2)
        result = self.generate(_request_from_flat(prompt, kwargs))
        if isinstance(result, list):
            return [single.to_legacy_dict() for single in result]
        return result.to_legacy_dict()

    def set_lora_adapter(
        self, nickname: str, path: str | Path | None = None, strength: float = 1.0, accumulate: bool = False
    ) -> None:
        """Merge a LoRA file into the weights, between two generations, or one that was loaded as ``nickname`` before.

        With ``accumulate`` beside those that are merged, each with its own strength; otherwise in their place. Nothing
        is compiled again. Raises CheckpointError for a file that does not fit the model, ConfigValidationError for a
        nickname that has no file yet; the weights stay as they are then.
        """
        file = None if path is None else Path(path).expanduser()
        with self._own_turn(CancellationToken()) as pipeline:
            pipeline.lora.select(nickname, file, strength, accumulate=accumulate)

    def merge_lora_weights(self) -> None:
        """Merge the adapters again that were merged before :meth:`unmerge_lora_weights`."""
        with self._own_turn(CancellationToken()) as pipeline:
            pipeline.lora.merge()

    def unmerge_lora_weights(self) -> None:
        """Give the weights back exactly as they were loaded; which adapters are selected is remembered."""
        with self._own_turn(CancellationToken()) as pipeline:
            pipeline.lora.unmerge()

    @staticmethod
    def default_health_check_request() -> GenerationRequest:
        """A small request that exercises every stage; its 8 frames are rounded to 9."""
        return GenerationRequest(
            prompt="health check",
            sampling=SamplingConfig(
                height=256, width=256, num_frames=8, fps=24, num_inference_steps=1, guidance_scale=1.0
            ),
            output=OutputConfig(save_video=False, return_frames=False),
        )

    def shutdown(self) -> None:
        """Stop what runs, within one step, and release the model. Twice is the same as once."""
        current = self._current
        if current is not None:
            current.cancel()
        if not self._turn.acquire(timeout=_SHUTDOWN_WAIT_S):
            logger.warning("a generation did not end within %.0f s of shutdown", _SHUTDOWN_WAIT_S)
            self._release()
            return
        try:
            self._release()
        finally:
            self._turn.release()

    def _release(self) -> None:
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    @contextlib.contextmanager
    def _own_turn(self, token: CancellationToken) -> Iterator[LTX2Pipeline]:
        # A lock without an owner: the thread that ends a stream need not be the one that began it.
        while not self._turn.acquire(timeout=_TURN_POLL_S):
            token.raise_if_cancelled()
        try:
            if self._pipeline is None:
                raise GenerationFailed("the generator was shut down")
            self._current = token
            yield self._pipeline
        finally:
            self._current = None
            self._turn.release()

    def _generate_one(
        self, request: GenerationRequest, cancel: CancellationToken | None, *, prompt_index: int | None = None
    ) -> GenerationResult:
        final = VideoFinalEvent()
        for event in self._whole(request, cancel, prompt_index=prompt_index, encode=False):
            if isinstance(event, VideoFinalEvent):
                final = event
        if final.result is None:
            raise GenerationFailed("the pipeline ended without a result")
        return final.result

    def _whole(
        self, request: GenerationRequest, cancel: CancellationToken | None, *, prompt_index: int | None, encode: bool
    ) -> Events:
        """The events of :meth:`stream`, with a Final that holds frames, file and result."""
        chunks: list[np.ndarray[Any, np.dtype[np.uint8]]] = []
        for event in self.stream(request, cancel=cancel):
            if isinstance(event, VideoPartialEvent):
                chunks.append(event.frames)
            if isinstance(event, VideoFinalEvent):
                frames = np.concatenate(chunks) if chunks else None
                chunks.clear()
                self._complete(event, frames, self.resolve(request), prompt_index, encode)
            yield event

    def _complete(
        self,
        final: VideoFinalEvent,
        frames: np.ndarray[Any, np.dtype[np.uint8]] | None,
        request: GenerationRequest,
        prompt_index: int | None,
        encode: bool,
    ) -> None:
        result, output = final.result, request.output
        assert result is not None
        assert isinstance(request.prompt, str)
        result.prompt_index = prompt_index
        if encode or output.save_video:
            data, suffix = _encoded(frames, result, request.sampling.fps)
            if output.save_video:
                result.video_path = str(write_video(data, output, request.prompt, suffix=suffix))
            final.video_bytes = data if encode else None
        result.peak_memory_mb = final.metadata["peak_memory_mb"]
        final.metadata["video_path"] = result.video_path
        result.extra = final.metadata
        if output.return_frames and frames is not None:
            import torch

            result.frames = final.frames = list(frames)
            result.samples = final.tensor = torch.from_numpy(frames)


def _encoded(
    frames: np.ndarray[Any, np.dtype[np.uint8]] | None, result: GenerationResult, fps: int
) -> tuple[bytes, str]:
    """The bytes of an MP4 file, or without frames of a WAV file, and its suffix."""
    if frames is None:
        from fastvideo.media.wav_file import encode_wav

        assert result.audio_sample_rate is not None
        return encode_wav(result.audio, result.audio_sample_rate), ".wav"
    from fastvideo.media.mp4_file import encode_mp4

    return encode_mp4(frames, result.audio, result.audio_sample_rate, fps), ".mp4"


def _request_from_flat(prompt: str | list[str] | None, kwargs: Mapping[str, Any]) -> GenerationRequest:
    request = GenerationRequest(prompt=prompt)
    parts = (request.sampling, request.inputs, request.output)
    for name, value in kwargs.items():
        if name in ("negative_prompt", "neg_prompt"):
            request.negative_prompt = value
            continue
        owner = next((part for part in parts if any(spec.name == name for spec in fields(part))), None)
        if owner is None:
            raise TypeError(f"generate_video takes no argument {name!r}; see the fields of GenerationRequest")
        setattr(owner, name, value)
    return request


def _peak_memory_mb() -> float:
    """The accelerator's high-water mark of this process, or without one that of its resident memory."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
