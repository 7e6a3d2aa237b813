"""A still picture of a recording: its first keyframe as a JPEG."""

from __future__ import annotations

import io

import av
from PIL import Image

MAX_WIDTH_PX = 640
_QUALITY = 82


def make_poster(init: bytes, fragments: bytes) -> bytes | None:
    """A JPEG at most 640 pixels wide of the first picture in whole fragments; None when they hold none."""
    try:
        with av.open(io.BytesIO(init + fragments), "r") as container:
            frame = next(container.decode(video=0), None)
            if frame is None:
                return None
            picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
    except av.FFmpegError:
        return None
    picture.thumbnail((MAX_WIDTH_PX, MAX_WIDTH_PX * picture.height // picture.width or 1))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
