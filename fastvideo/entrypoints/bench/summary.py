"""What is told of many measured values: mean, percentiles, and the largest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """Of ``count`` values, in their unit."""

    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    max: float


def summarise(values: Sequence[float]) -> Summary | None:
    """The summary of values in any order, None of none."""
    if not values:
        return None
    ordered = sorted(values)
    return Summary(
        count=len(ordered),
        mean=math.fsum(ordered) / len(ordered),
        p50=percentile(ordered, 50),
        p90=percentile(ordered, 90),
        p99=percentile(ordered, 99),
        max=ordered[-1],
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value below which so many of ascending values lie, interpolated between the two that are nearest.

    The same as ``numpy.percentile``. Raises ValueError for no values, or a percentage outside 0 to 100.
    """
    if not ordered or not 0 <= percent <= 100:
        raise ValueError(f"expected values and 0 to 100 percent, got {len(ordered)} values and {percent:g}")
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    between = ordered[below] + (ordered[above] - ordered[below]) * (place - below)
    # Rounding must not lead out of the two values.
    return min(max(between, ordered[below]), ordered[above])
