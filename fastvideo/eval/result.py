"""What metrics say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Better(StrEnum):
    """Which way a score is good. NEITHER: it is a quantity, and what is right depends on the purpose."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


@dataclass(frozen=True)
class Score:
    """What a metric found. ``value`` is None where there is nothing to measure, and never NaN; ``details["reason"]``
    then says why. It may be infinite, where the definition says so (the PSNR of identical clips)."""

    value: float | None
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.value is not None and math.isnan(self.value):
            raise ValueError("a score is a number or None, and never NaN")


@dataclass(frozen=True)
class MetricResult:
    """A score with its metric's name, its unit ("" for a plain number) and the way in which it is good."""

    name: str
    score: float | None
    details: Mapping[str, Any] = field(default_factory=dict)
    unit: str = ""
    better: Better = Better.NEITHER

    def as_json(self) -> dict[str, Any]:
        """The same in what JSON has: numbers that are not finite are null."""
        return {
            "score": _plain(self.score),
            "unit": self.unit,
            "better": str(self.better),
            "details": _plain(self.details),
        }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):  # an array, a number of an array, or a tensor
        return _plain(value.tolist())
    return str(value)
