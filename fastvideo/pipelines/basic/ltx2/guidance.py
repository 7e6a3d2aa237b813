"""Guidance: the prediction moves away from weaker ones that the model makes of the same tokens.

In terms of the clean latents x0 that each pass predicts (c with everything, the others with something left out):
x0 = c + (cfg - 1) (c - negative) + stg (c - perturbed) + (modality - 1) (c - isolated), then x0 is scaled towards the
deviation of c by ``rescale``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

# With the negative prompt; with self-attention reduced to its values in one block; without attention across streams.
WeakPass = Literal["negative", "perturbed", "isolated"]
WEAK_PASSES: tuple[WeakPass, ...] = get_args(WeakPass)


@dataclass(frozen=True)
class StreamGuidance:
    """The scales of picture or sound; the defaults guide nothing."""

    cfg: float = 1.0
    stg: float = 0.0
    modality: float = 1.0
    rescale: float = 0.0

    @property
    def weights(self) -> dict[WeakPass, float]:
        """How far to move away from each weaker prediction; those that do not count are left out."""
        weights: dict[WeakPass, float] = {
            "negative": self.cfg - 1.0,
            "perturbed": self.stg,
            "isolated": self.modality - 1.0,
        }
        return {name: weight for name, weight in weights.items() if weight != 0.0}

    def apply(self, clean: Tensor, weaker: Mapping[WeakPass, Tensor]) -> Tensor:
        """Guided x0 [B, N, C] from the full prediction and the weaker ones, which must have all of ``weights``."""
        weights = self.weights
        if not weights:
            return clean
        guided = clean
        for name, weight in weights.items():
            guided = guided + weight * (clean - weaker[name])
        if self.rescale == 0.0:
            return guided
        gain = clean.std(dim=(1, 2), keepdim=True) / guided.std(dim=(1, 2), keepdim=True)
        return guided * (self.rescale * gain + (1.0 - self.rescale))


@dataclass(frozen=True)
class Guidance:
    """How one stage is guided."""

    video: StreamGuidance = StreamGuidance()
    audio: StreamGuidance = StreamGuidance()

    @property
    def passes(self) -> tuple[WeakPass, ...]:
        """The weaker passes that a step needs; one pass serves both streams."""
        needed = self.video.weights.keys() | self.audio.weights.keys()
        return tuple(name for name in WEAK_PASSES if name in needed)
