"""The brightness of pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastvideo.eval.clip import Frames

_WEIGHTS = np.array([0.2126, 0.7152, 0.0722], np.float32)


def luma_of(frames: Frames) -> NDArray[np.float32]:
    """Luma (ITU-R BT.709) in 0..255 of RGB pictures [..., H, W, 3]: [..., H, W]."""
    luma: NDArray[np.float32] = frames.astype(np.float32) @ _WEIGHTS
    return luma
