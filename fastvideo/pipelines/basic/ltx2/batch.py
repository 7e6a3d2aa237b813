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
    from fastvideo.pipelines.basic.ltx2.references import Reference

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

    ``latents`` is the noisy value, which began with ``noise`` of ``level``. ``mask`` [1, N] says how much of a token is
    made (1) rather than kept (0), and ``clean`` what is kept; token timesteps are sigma * mask. The last tokens, one
    for each of ``appended_positions`` [1, axes, K, 2], are not part of the result: the others look at them. Nothing of
    a ``frozen`` stream is made.
    """

    latents: Tensor
    clean: Tensor
    mask: Tensor
    noise: Tensor
    level: float = 1.0
    appended_positions: Tensor | None = None
    frozen: bool = False

    @property
    def made_whole(self) -> bool:
        """Whether no token is kept, not even in part."""
        return bool((self.mask == 1.0).all())

    @classmethod
    def of_noise(cls, noise: Tensor) -> Stream:
        """Everything is to be made."""
        return cls.noised(noise, noise, 1.0)

    @classmethod
    def noised(cls, latents: Tensor, noise: Tensor, level: float) -> Stream:
        """Everything is to be made from ``latents`` with noise of that level: (1 - level) x + level noise."""
        noisy = noise.clone() if level == 1.0 else torch.lerp(latents, noise, level)
        return cls(noisy, torch.zeros_like(noisy), torch.ones(noisy.shape[:2], device=noisy.device), noise, level)

    def keep(self, tokens: slice, clean: Tensor, mask: float) -> None:
        """Put ``clean`` [1, n, C] at ``tokens``, with as much noise as the part ``mask`` of it that is made anew."""
        self.clean[:, tokens] = clean
        self.mask[:, tokens] = mask
        self.latents[:, tokens] = torch.lerp(clean, self.noise[:, tokens], mask * self.level)

    def append(self, clean: Tensor, mask: float, positions: Tensor, noise: Tensor) -> None:
        """Add tokens for the others to look at, with ``noise`` of the same shape; see :meth:`keep`."""
        start = self.latents.shape[1]
        before = self.appended_positions
        self.appended_positions = positions if before is None else torch.cat([before, positions], dim=2)
        self.noise = torch.cat([self.noise, noise], dim=1)
        self.latents, self.clean = (torch.cat([tensor, clean], dim=1) for tensor in (self.latents, self.clean))
        self.mask = torch.cat([self.mask, self.mask.new_full(clean.shape[:2], mask)], dim=1)
        self.keep(slice(start, None), clean, mask)

    def drop_appended(self) -> None:
        """Leave the tokens of the result."""
        if self.appended_positions is None:
            return
        count = self.latents.shape[1] - self.appended_positions.shape[2]
        self.latents, self.clean, self.mask, self.noise = (
            tensor[:, :count] for tensor in (self.latents, self.clean, self.mask, self.noise)
        )
        self.appended_positions = None


@dataclass
class LTX2Batch:
    """One segment from its inputs to its sound; the picture leaves in chunks and is not kept here.

    ``stages`` are the denoising stages in order, ``stage`` the one that is being worked on. With ``sound_alone`` no
    picture comes out.
    """

    prompt: str
    plan: SegmentPlan
    stages: tuple[DenoisePlan, ...]
    noise: NoiseSource
    negative_prompt: str = ""
    text_tokens: int | None = None
    references: tuple[Reference, ...] = ()
    state: LTX2ContinuationState | None = None
    sound_alone: bool = False
    cancel: CancellationToken = field(default_factory=CancellationToken)

    stage_index: int = 0
    context: TextContext | None = None
    negative_context: TextContext | None = None
    video: Stream | None = None
    audio: Stream | None = None
    # float32 [channels, samples] from the join on: how the sound of the segment before would have gone on.
    sound_before: np.ndarray[Any, np.dtype[np.float32]] | None = None
    # float32 [channels, samples]: exactly the new frames' time, at ``audio_sample_rate`` Hz.
    waveform: np.ndarray[Any, np.dtype[np.float32]] | None = None
    audio_sample_rate: int | None = None

    @property
    def stage(self) -> DenoisePlan:
        """The denoising stage that is being worked on."""
        return self.stages[self.stage_index]

    @property
    def position_offset_s(self) -> float:
        """How long before the picture the sound begins, in the stage that is being worked on."""
        own = self.stage.position_offset_s
        return float(self.plan.position_offset) if own is None else own

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
