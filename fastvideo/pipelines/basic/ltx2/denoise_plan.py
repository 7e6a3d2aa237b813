"""What one denoising stage does, decided before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastvideo.pipelines.basic.ltx2.guidance import Guidance


@dataclass(frozen=True)
class DenoisePlan:
    """One way down the noise levels ``sigmas`` at ``height`` x ``width`` px; ``name`` is the stage's in events, timings
    and overrides.

    With ``batch_cfg`` both prompts share a forward pass, which needs more memory. Images that it is given go through
    H.264 at ``image_crf``. With ``add_noise`` what the stage starts from gets noise of the first level.
    ``position_offset_s`` replaces the segment's own time from the beginning of its sound to that of its picture.
    ``isolated``: picture and sound are made without hearing each other.
    """

    name: str
    height: int
    width: int
    sigmas: tuple[float, ...]
    guidance: Guidance = field(default_factory=Guidance)
    batch_cfg: bool = False
    image_crf: int = 0
    add_noise: bool = True
    position_offset_s: float | None = None
    isolated: bool = False

    @property
    def steps(self) -> int:
        """Denoising steps."""
        return len(self.sigmas) - 1
