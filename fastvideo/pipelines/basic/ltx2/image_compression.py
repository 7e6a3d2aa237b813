"""A picture as a video would hold it: the model was trained on frames that had been through H.264."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from fastvideo.pipelines.basic.ltx2.batch import Frames


def compressed(frame: Frames, crf: int) -> Frames:
    """The frame uint8 [H, W, 3] after one trip through H.264 at ``crf`` (0 leaves it as it is; 51 is the coarsest).

    An odd last row or column is cut off, which H.264 cannot hold.
    """
    if crf == 0:
        return frame
    import av
    from av.video.frame import VideoFrame

    height, width = (size - size % 2 for size in frame.shape[:2])
    coder = av.CodecContext.create("libx264", "w")
    assert isinstance(coder, av.VideoCodecContext)
    coder.width, coder.height, coder.pix_fmt = width, height, "yuv420p"
    coder.framerate = Fraction(1)
    coder.options = {"crf": str(crf), "preset": "veryfast"}
    picture = VideoFrame.from_ndarray(np.ascontiguousarray(frame[:height, :width]), format="rgb24")
    packets = [*coder.encode(picture.reformat(format="yuv420p")), *coder.encode(None)]
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoded = [shown for packet in [*packets, None] for shown in decoder.decode(packet)]
    return decoded[0].to_ndarray(format="rgb24").astype(np.uint8, copy=False)
