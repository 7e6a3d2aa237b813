"""What one denoising stage does, decided before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastvideo.pipelines.basic.ltx2.guidance import Guidance


@dataclass(frozen=True)
class DenoisePlan:
    """One way down the noise levels ``sigmas`` at ``height`` x ``width`` px; ``name`` is the stage's in events, timings
    and overrides."""

    name: str
    height: int
    width: int
    sigmas: tuple[float, ...]
    guidance: Guidance = field(default_factory=Guidance)

    @property
    def steps(self) -> int:
        """Denoising steps."""
        return len(self.sigmas) - 1
