"""A picture as a video would hold it: the model was trained on frames that had been through H.264."""

from __future__ import annotations

import numpy as np

from fastvideo.pipelines.basic.ltx2.batch import Frames


def compressed(frame: Frames, crf: int) -> Frames:
    """The frame uint8 [H, W, 3] after one trip through H.264 at ``crf`` (0 leaves it as it is; 51 is the coarsest).

    Height and width must be even, as those of every video of this model are.
    """
    if crf == 0:
        return frame
    import av
    from av.video.frame import VideoFrame

    height, width = frame.shape[:2]
    coder = av.CodecContext.create("libx264", "w")
    assert isinstance(coder, av.VideoCodecContext)
    coder.width, coder.height, coder.pix_fmt = width, height, "yuv420p"
    coder.framerate = 1
    coder.options = {"crf": str(crf), "preset": "veryfast"}
    picture = VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    packets = [*coder.encode(picture.reformat(format="yuv420p")), *coder.encode(None)]
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoded = [shown for packet in [*packets, None] for shown in decoder.decode(packet)]
    result: Frames = decoded[0].to_ndarray(format="rgb24")
    return result
