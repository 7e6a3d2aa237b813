"""What coding a segment costs us, as figures against both bare tools."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bare_tools import NO_FFMPEG, Cost, bare_ffmpeg, bare_pyav
from benchmarks.clip import Size
from benchmarks.report import Figure

WALL_GOAL = 1.05
CPU_GOAL = 1.10


@dataclass
class CostRounds:
    """Rounds of ours and of the bare tools, which alternate; the best of each counts."""

    size: Size
    ours: list[Cost] = field(default_factory=list)
    ffmpeg: list[Cost] = field(default_factory=list)
    pyav: list[Cost] = field(default_factory=list)

    def add(self, ours: Cost, program: str | None, clip: NDArray[np.uint8], wave: NDArray[np.float32]) -> None:
        """Add a round of ours, and run one of each tool; ``program`` is None where there is no ffmpeg."""
        self.ours.append(ours)
        if program is not None:
            self.ffmpeg.append(bare_ffmpeg(program, clip, wave))
        self.pyav.append(bare_pyav(clip, wave))

    def figures(self) -> list[Figure]:
        """Ratios against each tool (the goals are for the program), and the first fragment."""
        name = self.size.name
        figures = [
            _ratio(f"{name} wall / ffmpeg", _walls(self.ours), _walls(self.ffmpeg), WALL_GOAL),
            _ratio(f"{name} CPU / ffmpeg", _cpus(self.ours), _cpus(self.ffmpeg), CPU_GOAL),
            _ratio(f"{name} wall / PyAV", _walls(self.ours), _walls(self.pyav)),
            _ratio(f"{name} CPU / PyAV", _cpus(self.ours), _cpus(self.pyav)),
        ]
        first_ms = [cost.first_fragment_ms for cost in self.ours if cost.first_fragment_ms is not None]
        note = f"best; worst {max(first_ms):.1f} ms"
        goal_ms = self.size.first_fragment_goal_ms
        return [*figures, Figure(f"{name} first frame ready to first fragment", min(first_ms), "ms", goal_ms, note)]

    def details(self) -> dict[str, Any]:
        """Everything, for the JSON."""
        return asdict(self)


def _walls(costs: list[Cost]) -> list[float]:
    return [cost.wall_s for cost in costs]


def _cpus(costs: list[Cost]) -> list[float]:
    return [cost.cpu_s for cost in costs]


def _ratio(name: str, ours_s: list[float], bare_s: list[float], goal: float | None = None) -> Figure:
    if not bare_s:
        return Figure(name, None, "x", goal, NO_FFMPEG)
    ours, bare = min(ours_s), min(bare_s)
    return Figure(name, ours / bare, "x", goal, f"{ours:.3f} s / {bare:.3f} s")
