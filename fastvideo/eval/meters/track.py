"""Where a thing is over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Track:
    """Poses over time, each an array [T]."""

    x: Floats
    y: Floats
    radius: Floats
    turns: Floats
