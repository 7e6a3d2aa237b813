"""What coding a segment is compared with: the ``ffmpeg`` program, and PyAV with its own muxer; settings are ours."""

from __future__ import annotations

import io
import resource
import shutil
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from fractions import Fraction
from typing import IO

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from benchmarks.clip import FPS, memory_folder
from fastvideo.media.audio_coder import BIT_RATE
from fastvideo.media.timeline import AAC_FRAME_SAMPLES, AUDIO_RATE_HZ
from fastvideo.media.video_coder import PRESETS, QUALITY

NO_FFMPEG = "no ffmpeg program on the PATH; install it (Debian: apt-get install ffmpeg)"
_MOVFLAGS = "frag_keyframe+empty_moov+default_base_moof"
_FRAGMENT_US = "250000"
_SCALE = "scale=flags=area+full_chroma_inp:out_color_matrix=bt709:out_range=tv,format=yuv420p"


@dataclass(frozen=True)
class Cost:
    """Seconds of one coding, and what came out; ``first_fragment_ms`` where somebody looked."""

    wall_s: float
    cpu_s: float
    size_bytes: int
    first_fragment_ms: float | None = None


def find_ffmpeg() -> str | None:
    """The program on the PATH."""
    return shutil.which("ffmpeg")


def names_of_tools(program: str | None) -> str:
    """Both tools with their versions."""
    if program is None:
        return f"PyAV {av.__version__}; {NO_FFMPEG}"
    text = subprocess.run([program, "-version"], capture_output=True, text=True, check=True).stdout
    return f"{' '.join(text.split()[:3])}; PyAV {av.__version__}"


def bare_ffmpeg(program: str, clip: NDArray[np.uint8], wave: NDArray[np.float32]) -> Cost:
    """The program, from its start to the end of its output: frames by pipe, sound from a file in memory.

    CPU is that of the program alone, without what it costs to feed it.
    """
    _, height, width, _ = clip.shape
    with tempfile.NamedTemporaryFile(suffix=".f32", dir=memory_folder()) as sound_file:
        sound_file.write(np.ascontiguousarray(wave.T).tobytes())
        sound_file.flush()
        command = [program, "-hide_banner", "-loglevel", "error", "-nostdin"]
        command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(FPS), "-i", "pipe:0"]
        command += ["-f", "f32le", "-ar", str(AUDIO_RATE_HZ), "-ac", "2", "-i", sound_file.name]
        command += ["-vf", _SCALE, "-c:v", "libx264", "-threads", "1"]
        for name, value in _video_options(width, height).items():
            command += [f"-{name}", value]
        command += ["-c:a", "aac", "-aac_coder", "fast", "-b:a", str(BIT_RATE)]
        command += ["-movflags", _MOVFLAGS, "-frag_duration", _FRAGMENT_US, "-f", "mp4", "pipe:1"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began_s = time.perf_counter()
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            feeder = threading.Thread(target=_feed, args=(process.stdin, clip))
            feeder.start()
            size_bytes = len(process.stdout.read())
            feeder.join()
        wall_s = time.perf_counter() - began_s
        if process.returncode != 0:
            raise RuntimeError(f"{program} failed with code {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, size_bytes)


def _feed(pipe: IO[bytes], clip: NDArray[np.uint8]) -> None:
    with pipe:
        for frame in clip:
            pipe.write(memoryview(frame).cast("B"))


def _video_options(width: int, height: int) -> dict[str, str]:
    ceiling = str(round(width * height * FPS / 4))
    return {
        "preset": PRESETS[0],
        "tune": "zerolatency",
        "crf": str(QUALITY),
        "maxrate": ceiling,
        "bufsize": ceiling,
        "sc_threshold": "0",
        "g": str(FPS),
    }


def bare_pyav(clip: NDArray[np.uint8], wave: NDArray[np.float32]) -> Cost:
    """PyAV in one thread, into its own fragmented MP4 muxer in memory."""
    wall, cpu = time.perf_counter(), time.process_time()
    _, height, width, _ = clip.shape
    sink = io.BytesIO()
    with av.open(sink, "w", "mp4", options={"movflags": _MOVFLAGS, "frag_duration": _FRAGMENT_US}) as container:
        video = container.add_stream("libx264", rate=FPS, options=_video_options(width, height))
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
