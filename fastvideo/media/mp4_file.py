"""A whole clip as the bytes of one MP4 file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastvideo.media.encoder import SegmentEncoder
from fastvideo.media.timeline import MediaCursor


def encode_mp4(
    frames: NDArray[np.uint8] | NDArray[np.floating],
    audio: NDArray[np.floating] | None,
    sample_rate: int | None,
    fps: float,
    *,
    encoder: str = "auto",
) -> bytes:
    """Code frames [N, H, W, 3] (uint8, or float in 0..1) and sound [2, n] (or None: no sound track) as fragmented MP4.

    The sound is trimmed or padded to the pictures' length. Raises ValueError for input that cannot be coded (odd sizes,
    wrong shapes or values, sound without a sample rate), EncodeError when a coder fails.
    """
    if not isinstance(frames, np.ndarray) or frames.ndim != 4 or not len(frames):
        got = list(frames.shape) if isinstance(frames, np.ndarray) else type(frames).__name__
        raise ValueError(f"expected at least one frame, of shape [N, H, W, 3]; got {got}")
    if audio is not None and sample_rate is None:
        raise ValueError("sound needs its sample rate")
    with SegmentEncoder(
        width=frames.shape[2],
        height=frames.shape[1],
        fps=fps,
        cursor=MediaCursor.start(),
        encoder=encoder,
        with_audio=audio is not None,
        last=True,
    ) as segment:
        if audio is not None and sample_rate is not None:
            segment.push_audio(audio, sample_rate)
        fragments = segment.push_video(frames)
        owed, _ = segment.finish()
        init = segment.file_init_segment()
    return b"".join((init, *(fragment.data for fragment in fragments), *(fragment.data for fragment in owed)))
