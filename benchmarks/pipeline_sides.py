"""One clip from our pipeline and from diffusers': the same weights, noise, noise levels and shapes, each part timed."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from benchmarks.diffusers_pipeline import diffusers_pipeline
from fastvideo.api.results import VideoFinalEvent, VideoPartialEvent
from fastvideo.api.schema import CompileConfig, GenerationRequest, SamplingConfig
from fastvideo.models.ltx2.loader import LTX2Components
from fastvideo.pipelines.basic.ltx2.batch import seeded_noise
from fastvideo.pipelines.basic.ltx2.compilation import compile_parts
from fastvideo.pipelines.basic.ltx2.pipeline import LTX2Pipeline
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig
from fastvideo.pipelines.basic.ltx2.placement import Placement
from fastvideo.pipelines.basic.ltx2.sigmas import distilled_sigmas
from fastvideo.pipelines.basic.ltx2.stages.tokens import tokens_to_audio

PROMPT = "A heron lifts off a still lake; wings beat, water drips."
STAGES = ("text", "denoise", "decode")
_SEED = 7
_SAMPLE_INTERVAL_S = 0.002


@dataclass(frozen=True)
class ClipShape:
    """``frames`` (8k+1) pictures at ``fps``, made in ``steps`` steps of the distilled schedule."""

    height_px: int
    width_px: int
    frames: int
    steps: int
    fps: int = 24

    @property
    def latent_frames(self) -> int:
        return 1 + (self.frames - 1) // 8

    @property
    def tokens(self) -> int:
        """Of the picture."""
        return self.latent_frames * (self.height_px // 32) * (self.width_px // 32)

    @property
    def playback_s(self) -> float:
        return self.frames / self.fps


@dataclass(frozen=True)
class Clip:
    """What one run made, and how long each stage took. ``pictures`` [F, H, W, 3] in 0..255, ``sound`` [2, samples]."""

    pictures: NDArray[Any]
    sound: NDArray[np.float32]
    stages_s: dict[str, float]
    total_s: float
    cpu_s: float

    def without_media(self) -> Clip:
        """Its times alone."""
        return replace(self, pictures=np.zeros(0), sound=np.zeros(0, dtype=np.float32))


class Side(Protocol):
    """One implementation, ready to run."""

    name: str

    def run(self) -> Clip:
        """Make the clip, from the prompt's text to pictures and sound in host memory."""
        ...

    def compile(self, backend: str) -> None:
        """Compile each of the transformer's blocks, with one graph for all of them, from the next run on."""
        ...


class Ours:
    """The pipeline of this package."""

    name = "ours"

    def __init__(
        self, components: LTX2Components, shape: ClipShape, device: torch.device, *, keep_text_keys: bool = True
    ) -> None:
        self._components = components
        self._shape = shape
        self._clock = clock_of(device)
        self._pipeline = LTX2Pipeline(
            components,
            # diffusers decodes in one piece too, and encodes the text of each clip.
            LTX2T2VConfig(vae_tiling=False, text_cache_entries=0, keep_text_keys=keep_text_keys),
            placement=Placement(components.modules(), device),
            clock=self._clock,
        )

    def compile(self, backend: str) -> None:
        compile_parts(self._components, CompileConfig(enabled=True, backend=backend, fullgraph=True, dynamic=False))

    @property
    def audio_tokens(self) -> int:
        """Of the clip's sound."""
        return self._pipeline.batch(self._request()).plan.audio_latents

    def _request(self) -> GenerationRequest:
        shape = self._shape
        sampling = SamplingConfig(
            height=shape.height_px,
            width=shape.width_px,
            num_frames=shape.frames,
            fps=shape.fps,
            num_inference_steps=shape.steps,
            seed=_SEED,
        )
        return GenerationRequest(prompt=PROMPT, sampling=sampling)

    def run(self) -> Clip:
        began_s, cpu_began_s = self._clock(), time.process_time()
        events = list(self._pipeline.stream(self._request()))
        total_s, cpu_s = self._clock() - began_s, time.process_time() - cpu_began_s
        partials = [event for event in events if isinstance(event, VideoPartialEvent)]
        final = events[-1]
        assert isinstance(final, VideoFinalEvent)
        assert partials[0].audio is not None
        timings_ms = final.metadata["timings"]
        return Clip(
            np.concatenate([partial.frames for partial in partials]),
            np.asarray(partials[0].audio),
            {name: timings_ms[name] / 1000 for name in STAGES},
            total_s,
            cpu_s,
        )


class Diffusers:
    """``diffusers.LTX2Pipeline`` with the same weights; ``audio_tokens`` sets the length of its sound."""

    name = "diffusers"

    def __init__(self, components: LTX2Components, shape: ClipShape, device: torch.device, audio_tokens: int) -> None:
        self._components = components
        self._shape = shape
        self._device = device
        self._audio_tokens = audio_tokens
        self._clock = clock_of(device)
        self._marks_s: dict[str, float] = {}
        self._pipeline = diffusers_pipeline(components)
        self._pipeline.connectors.register_forward_hook(lambda *_: self._mark("text"))

    def compile(self, backend: str) -> None:
        self._pipeline.transformer.compile_repeated_blocks(backend=backend, fullgraph=True, dynamic=False)

    def run(self) -> Clip:
        shape = self._shape
        began_s, cpu_began_s = self._clock(), time.process_time()
        noise = seeded_noise(_SEED)
        video = noise((1, shape.tokens, 128)).to(self._device)
        audio = tokens_to_audio(noise((1, self._audio_tokens, 128)).to(self._device), 8)
        with torch.inference_mode():
            pictures, sound = self._pipeline(
                prompt=PROMPT,
                height=shape.height_px,
                width=shape.width_px,
                num_frames=shape.frames,
                frame_rate=float(shape.fps),
                num_inference_steps=shape.steps,
                sigmas=list(distilled_sigmas(shape.steps)[:-1]),
                guidance_scale=1.0,
                stg_scale=0.0,
                modality_scale=1.0,
                guidance_rescale=0.0,
                audio_guidance_scale=1.0,
                audio_stg_scale=0.0,
                audio_modality_scale=1.0,
                audio_guidance_rescale=0.0,
                latents=video,
                # It normalises audio latents that it is given.
                audio_latents=self._components.audio_vae.per_channel_statistics.denormalize(audio),
                max_sequence_length=self._components.text_encoder.max_tokens,
                output_type="np",
                return_dict=False,
                callback_on_step_end=self._step_ended,
            )
            waveform = sound[0].float().cpu().numpy()
        ended_s, cpu_s = self._clock(), time.process_time() - cpu_began_s
        edges_s = [began_s, self._marks_s["text"], self._marks_s["denoise"], ended_s]
        stages_s = {name: end - start for name, (start, end) in zip(STAGES, pairwise(edges_s), strict=True)}
        return Clip(pictures[0] * 255, waveform, stages_s, ended_s - began_s, cpu_s)

    def _step_ended(self, _pipeline: Any, step: int, _time: Any, _values: dict[str, Any]) -> dict[str, Any]:
        if step + 1 == self._shape.steps:
            self._mark("denoise")
        return {}

    def _mark(self, name: str) -> None:
        self._marks_s[name] = self._clock()


def clock_of(device: torch.device) -> Callable[[], float]:
    """Seconds, read when the device has done what it was given."""
    if device.type != "cuda":
        return time.perf_counter

    def clock() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return clock


def agreement_db(ours: Clip, theirs: Clip) -> tuple[float, float]:
    """How far pictures and sound of two clips agree: PSNR of the pictures, and the sound's power over its error's.

    Rounding to eight bits alone leaves 59 dB of the pictures. Raises ValueError for clips of other lengths or sizes.
    """
    if ours.pictures.shape != theirs.pictures.shape:
        raise ValueError(f"pictures differ in shape: {ours.pictures.shape} and {theirs.pictures.shape}")
    count = ours.sound.shape[1]
    # Ours is cut to the picture's length.
    if theirs.sound.shape[1] < count:
        raise ValueError(f"sounds differ in length: {count} and {theirs.sound.shape[1]} samples")
    picture_error = float(np.mean(np.square(ours.pictures.astype(np.float64) - theirs.pictures)))
    sound_error = float(np.mean(np.square(ours.sound - theirs.sound[:, :count], dtype=np.float64)))
    power = float(np.mean(np.square(theirs.sound[:, :count], dtype=np.float64)))
    return _decibels(255.0**2, picture_error), _decibels(power, sound_error)


def _decibels(signal: float, error: float) -> float:
    """Limited to 200 dB, for what is equal."""
    return 10 * math.log10(signal / max(error, signal * 1e-20))


@dataclass
class PeakMemory:
    """The most memory that was held above what was held before, in bytes."""

    held_bytes: int = 0


@contextmanager
def peak_memory(device: torch.device) -> Iterator[PeakMemory]:
    """Watches the device's memory, or this process's on a CPU, sampled every two milliseconds."""
    peak = PeakMemory()
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        yield peak
        peak.held_bytes = torch.cuda.max_memory_allocated(device) - before
        return
    process, ended = psutil.Process(), threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        while not ended.wait(_SAMPLE_INTERVAL_S):
            peak.held_bytes = max(peak.held_bytes, process.memory_info().rss - before)

    watcher = threading.Thread(target=watch, name="peak-memory")
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()
