"""Noise schedules of LTX-2: the distilled list and its subsets, the shifted schedule, and lists given by a request."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, pairwise

from fastvideo.api.errors import ConfigValidationError

# The levels that the official distilled models were trained for; the last step goes from the last of them to 0.
DISTILLED_SIGMAS = (1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875)
# The refine stage starts from noise of 0.909375; two steps leave out the level in the middle.
REFINE_SIGMAS = (0.909375, 0.725, 0.421875, 0.0)

# The shift that the official one- and two-stage pipelines use whatever the clip's size: that of 4096 tokens.
_SHIFT_MU = 2.05
_LAST_SIGMA = 0.1
# Levels are compared as multiples of this, as integers, so that equal gaps are equal.
_GRID = 1_000_000


def schedule(
    steps: int, sigmas: Sequence[float] | None = None, *, distilled: Sequence[float] = DISTILLED_SIGMAS
) -> tuple[float, ...]:
    """``steps`` + 1 noise levels from 1 down to 0; an explicit list wins and sets its own number of steps.

    A ``distilled`` model takes a subset of the levels that it was trained for; for more steps than those, and for a
    model as trained (no levels), the schedule is the shifted one.
    """
    if sigmas is not None:
        return explicit_sigmas(sigmas)
    if steps < 1:
        raise ConfigValidationError("sampling.num_inference_steps", f"expected at least 1, got {steps}")
    if steps <= len(distilled):
        return distilled_sigmas(steps, distilled)
    return shifted_sigmas(steps)


def distilled_sigmas(steps: int, levels: Sequence[float] = DISTILLED_SIGMAS) -> tuple[float, ...]:
    """The subset of ``levels`` and 0, both ends kept, with the smallest largest gap.

    Among equals the one with the smallest last gap, then the smallest sum of squared gaps, then the earliest entries.
    """
    all_levels = (*levels, 0.0)
    grid = [round(sigma * _GRID) for sigma in all_levels]

    def cost(indices: tuple[int, ...]) -> tuple[int, int, int, tuple[int, ...]]:
        gaps = [grid[a] - grid[b] for a, b in pairwise(indices)]
        return max(gaps), gaps[-1], sum(gap * gap for gap in gaps), indices

    last = len(levels)
    chosen = min(((0, *middle, last) for middle in combinations(range(1, last), steps - 1)), key=cost)
    return tuple(all_levels[index] for index in chosen)


def refine_sigmas(steps: int) -> tuple[float, ...]:
    """The levels of the refine stage in 3 or 2 steps."""
    return REFINE_SIGMAS if steps == len(REFINE_SIGMAS) - 1 else (REFINE_SIGMAS[0], *REFINE_SIGMAS[2:])


def shifted_sigmas(steps: int) -> tuple[float, ...]:
    """An even schedule, shifted towards noise and stretched so that the last level before 0 is 0.1.

    s' = e^mu / (e^mu + 1/s - 1); then 1 - s' is scaled so that its last value becomes 0.9.
    """
    shift = math.exp(_SHIFT_MU)
    shifted = [shift / (shift + 1 / (1 - step / steps) - 1) for step in range(steps)]
    if steps == 1:
        return (1.0, 0.0)
    scale = (1 - shifted[-1]) / (1 - _LAST_SIGMA)
    return (*(1 - (1 - sigma) / scale for sigma in shifted), 0.0)


def explicit_sigmas(sigmas: Sequence[float]) -> tuple[float, ...]:
    """A request's own list, with a final 0 added where it is missing. Raises ConfigValidationError."""
    path = "sampling.sigmas"
    levels = [float(sigma) for sigma in sigmas]
    if levels and levels[-1] != 0.0:
        levels.append(0.0)
    if len(levels) < 2:
        raise ConfigValidationError(path, "expected at least one noise level above 0")
    if levels[0] != 1.0:
        # Generation starts from pure noise, which is what 1.0 says.
        raise ConfigValidationError(path, f"expected the first level to be 1.0, got {levels[0]:g}")
    if any(not a > b for a, b in pairwise(levels)):
        raise ConfigValidationError(path, "expected strictly falling levels")
    return tuple(levels)
