"""The frames of a video file of this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fastvideo.api.errors import ImageInvalid
from fastvideo.pipelines.basic.ltx2.batch import Frames

_FORMATS = "mov,mp4,matroska,webm"
_MAX_PIXELS = 3840 * 3840


def load_clip(path: str, *, max_frames: int) -> tuple[Frames, ...]:
    """The first frames, at most ``max_frames``, of an MP4, MOV, MKV or WebM file, uint8 [H, W, 3] each, one by one as
    they are stored. Raises ImageInvalid for anything unreadable or enormous."""
    import av
    from av.error import FFmpegError

    frames: list[Frames] = []
    # A file of this machine and nothing else: no address, no list of other files.
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
    try:
        with av.open(str(Path(path).absolute()), options=options) as container:
            for picture in container.decode(video=0):
                if picture.width * picture.height > _MAX_PIXELS:
                    raise ImageInvalid(f"the clip is {picture.width}x{picture.height}; at most {_MAX_PIXELS} pixels")
                frames.append(picture.to_ndarray(format="rgb24").astype(np.uint8, copy=False))
                if len(frames) == max_frames:
                    break
    except (FFmpegError, OSError, ValueError, IndexError) as error:
        raise ImageInvalid("the clip cannot be read; expected an MP4, MOV, MKV or WebM file with a picture") from error
    if not frames:
        raise ImageInvalid("the clip has no frames")
    return tuple(frames)
