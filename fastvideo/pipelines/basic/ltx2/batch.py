"""What the stages of one segment hand on to each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fastvideo.api.cancellation import CancellationToken
from fastvideo.pipelines.basic.ltx2.denoise_plan import DenoisePlan
from fastvideo.pipelines.basic.ltx2.segment_plan import SegmentPlan

if TYPE_CHECKING:
    from fastvideo.pipelines.basic.ltx2.continuation import LTX2ContinuationState

Frames = np.ndarray[Any, np.dtype[np.uint8]]
# Independent standard-normal values of a shape, float32 on the CPU.
NoiseSource = Callable[[tuple[int, ...]], Tensor]


class TextContext(NamedTuple):
    """A prompt as the transformer reads it for picture and sound, [1, S, D] each."""

    video: Tensor
    audio: Tensor


@dataclass
class Stream:
    """The tokens of picture or sound while they are denoised, float32 [1, N, C].

    ``latents`` is the noisy value. ``mask`` [1, N] says how much of a token is made (1) rather than kept (0), and
    ``clean`` what is kept; token timesteps are sigma * mask.
    """

    latents: Tensor
    clean: Tensor
    mask: Tensor

    @classmethod
    def of_noise(cls, noise: Tensor) -> Stream:
        """Everything is to be made."""
        return cls(noise, torch.zeros_like(noise), torch.ones(noise.shape[:2], device=noise.device))

    @classmethod
    def noised(cls, latents: Tensor, noise: Tensor, sigma: float) -> Stream:
        """Everything is to be made from ``latents`` with noise of level ``sigma``: (1 - sigma) x + sigma noise."""
        return cls.of_noise(torch.lerp(latents, noise, sigma))

    def keep(self, tokens: slice, clean: Tensor, mask: float) -> None:
        """Put ``clean`` [1, n, C] at ``tokens``, the part ``mask`` of it made anew: x = clean + m (noise - clean)."""
        self.clean[:, tokens] = clean
        self.mask[:, tokens] = mask
        self.latents[:, tokens] = torch.lerp(clean, self.latents[:, tokens], mask)


@dataclass
class LTX2Batch:
    """One segment from its inputs to its sound; the picture leaves in chunks and is not kept here.

    ``stages`` are the denoising stages in order, ``stage`` the one that is being worked on.
    """

    prompt: str
    plan: SegmentPlan
    stages: tuple[DenoisePlan, ...]
    noise: NoiseSource
    negative_prompt: str = ""
    text_tokens: int | None = None
    # The first frame at the size of each stage.
    images: tuple[Frames, ...] = ()
    state: LTX2ContinuationState | None = None
    cancel: CancellationToken = field(default_factory=CancellationToken)

    stage_index: int = 0
    context: TextContext | None = None
    negative_context: TextContext | None = None
    video: Stream | None = None
    audio: Stream | None = None
    # float32 [channels, samples]: exactly the new frames' time, at ``audio_sample_rate`` Hz.
    waveform: np.ndarray[Any, np.dtype[np.float32]] | None = None
    audio_sample_rate: int | None = None

    @property
    def stage(self) -> DenoisePlan:
        """The denoising stage that is being worked on."""
        return self.stages[self.stage_index]

    @property
    def height(self) -> int:
        """Of the finished picture, in px."""
        return self.stages[-1].height

    @property
    def width(self) -> int:
        """Of the finished picture, in px."""
        return self.stages[-1].width

    @property
    def steps(self) -> int:
        """Denoising steps of all stages."""
        return sum(stage.steps for stage in self.stages)


def seeded_noise(seed: int) -> NoiseSource:
    """A source that gives the same values for the same seed, on every device."""
    generator = torch.Generator(device="cpu").manual_seed(seed)
    return lambda shape: torch.randn(shape, generator=generator, dtype=torch.float32)
