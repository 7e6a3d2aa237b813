"""The second bare tool: PyAV alone, with the coders and settings of a segment, into its own fragmented MP4 muxer."""

from __future__ import annotations

import io
import time
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from benchmarks.encode import FPS, Cost
from fastvideo.media.audio_coder import BIT_RATE
from fastvideo.media.timeline import AAC_FRAME_SAMPLES, AUDIO_RATE_HZ
from fastvideo.media.video_coder import PRESETS, QUALITY


def bare_pyav(clip: NDArray[np.uint8], wave: NDArray[np.float32]) -> Cost:
    """Code frames, uint8 [T, H, W, 3], and sound, float32 [2, n] at 48 kHz, in one thread and into memory."""
    wall, cpu = time.perf_counter(), time.process_time()
    _, height, width, _ = clip.shape
    ceiling = str(round(width * height * FPS / 4))
    sink = io.BytesIO()
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "250000"}
    with av.open(sink, "w", format="mp4", options=options) as container:
        video = container.add_stream(
            "libx264",
            rate=FPS,
            options={
                "preset": PRESETS[0],
                "tune": "zerolatency",
                "crf": str(QUALITY),
                "maxrate": ceiling,
                "bufsize": ceiling,
                "sc_threshold": "0",
                "g": str(FPS),
            },
        )
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.codec_context.thread_count = 1
        sound = container.add_stream("aac", rate=AUDIO_RATE_HZ, options={"aac_coder": "fast", "b": str(BIT_RATE)})
        reformatter = VideoReformatter()
        coded_samples = 0
        for index, picture in enumerate(clip):
            frame = reformatter.reformat(
                av.VideoFrame.from_numpy_buffer(picture, "rgb24"),
                format="yuv420p",
                interpolation=Interpolation.AREA | Interpolation.FULL_CHR_H_INP,
                src_color_range=ColorRange.JPEG,
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
                threads=1,
            )
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(video.encode(frame))
            due_samples = min((index + 1) * AUDIO_RATE_HZ // FPS, wave.shape[1])
            while coded_samples < due_samples:
                block = np.ascontiguousarray(wave[:, coded_samples : coded_samples + AAC_FRAME_SAMPLES])
                samples = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
                samples.sample_rate, samples.pts = AUDIO_RATE_HZ, coded_samples
                samples.time_base = Fraction(1, AUDIO_RATE_HZ)
                container.mux(sound.encode(samples))
                coded_samples += block.shape[1]
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    return Cost(time.perf_counter() - wall, time.process_time() - cpu, sink.tell())
