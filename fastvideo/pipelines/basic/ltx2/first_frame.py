"""The picture that a stream begins with: opened within bounds, and cut to the size of the video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from fastvideo.api.errors import ImageInvalid
from fastvideo.pipelines.basic.ltx2.batch import Frames

_FORMATS = ("PNG", "JPEG", "WEBP")
_MAX_PIXELS = 50_000_000


def load_pixels(source: str | Path | Image.Image) -> Frames:
    """A PNG, JPEG or WebP file of this machine, or a PIL image, as uint8 [H, W, 3].

    Raises ImageInvalid for anything unreadable or enormous.
    """
    if isinstance(source, Image.Image):
        return _rgb(source)
    try:
        with Image.open(source, formats=_FORMATS) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise ImageInvalid(
                    f"the initial image has {image.width}x{image.height} pixels; at most {_MAX_PIXELS} are accepted"
                )
            return _rgb(image)
    except ImageInvalid:
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageInvalid("the initial image cannot be read; expected a PNG, JPEG or WebP file") from error


def fit(pixels: Frames, *, height: int, width: int) -> Frames:
    """Cover ``height`` x ``width``, bilinear and without smoothing as in training, and cut out the middle."""
    source_height, source_width = pixels.shape[:2]
    if (source_height, source_width) == (height, width):
        return pixels
    scale = max(height / source_height, width / source_width)
    covered = (max(height, -int(-source_height * scale // 1)), max(width, -int(-source_width * scale // 1)))
    tensor = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0).float()
    tensor = torch.nn.functional.interpolate(tensor, size=covered, mode="bilinear", align_corners=False)
    top, left = (covered[0] - height) // 2, (covered[1] - width) // 2
    cut = tensor[0, :, top : top + height, left : left + width]
    frame: Frames = cut.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    return frame


def _rgb(image: Image.Image) -> np.ndarray[Any, np.dtype[np.uint8]]:
    # Phones store a turned picture with a note on how to turn it back.
    return np.array(ImageOps.exif_transpose(image).convert("RGB"), dtype=np.uint8)
