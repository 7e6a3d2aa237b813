"""Cost of coding a segment, as a ratio to the bare ``ffmpeg`` program on the same frames with the same settings.

    python benchmarks/encode.py [--sizes 1024x576,1920x1088] [--rounds 5] [--ffmpeg PATH]

Both get RGB frames and stereo sound that are already in memory, and give fragmented MP4 bytes: the program through
pipes, ours by calls. Rounds of the two alternate; the best of each counts. CPU is that of the ``ffmpeg`` process alone,
without what it costs to feed it, against all of ours.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastvideo.media.audio_coder import BIT_RATE
from fastvideo.media.encoder import SegmentEncoder
from fastvideo.media.timeline import AUDIO_RATE_HZ, MediaCursor
from fastvideo.media.video_coder import PRESETS, QUALITY

RESULTS = Path(__file__).parent / "results"
FPS = 24
GOALS = {"wall_ratio": 1.05, "cpu_ratio": 1.10, "first_fragment_ms": {"1024x576": 60, "1920x1088": 100}}


@dataclass
class Cost:
    """Seconds of one coding, and what came out."""

    wall_s: float
    cpu_s: float
    size_bytes: int
    first_fragment_ms: float = 0.0


def moving_picture(width: int, height: int, frames: int) -> NDArray[np.uint8]:
    """A panning gradient with a little fixed grain: neither still nor noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([x * 255 // width, y * 255 // height, (x // 4 + y // 2) % 256], axis=-1).astype(np.uint8)
    base += rng.integers(0, 4, base.shape, dtype=np.uint8)
    clip = np.empty((frames, height, width, 3), np.uint8)
    for index in range(frames):
        clip[index] = np.roll(base, (index, index * 3), axis=(0, 1))
    return clip


def sound(frames: int) -> NDArray[np.float32]:
    time_s = np.arange(frames * AUDIO_RATE_HZ // FPS) / AUDIO_RATE_HZ
    wave = 0.3 * np.sin(2 * np.pi * 220 * time_s) + np.random.default_rng(1).normal(0, 0.02, time_s.size)
    return np.stack([wave, wave]).astype(np.float32)


def ours(clip: NDArray[np.uint8], wave: NDArray[np.float32]) -> Cost:
    """One segment through ``SegmentEncoder``, all frames at once."""
    wall, cpu = time.perf_counter(), time.process_time()
    _, height, width, _ = clip.shape
    segment = SegmentEncoder(width=width, height=height, fps=FPS, cursor=MediaCursor.start(), encoder="libx264")
    segment.push_audio(wave, AUDIO_RATE_HZ)
    fragments = segment.push_video(clip[:2])
    first_fragment_ms = (time.perf_counter() - wall) * 1000
    fragments += segment.push_video(clip[2:])
    fragments += segment.finish()[0]
    size = sum(len(fragment.data) for fragment in fragments)
    return Cost(time.perf_counter() - wall, time.process_time() - cpu, size, first_fragment_ms)


def bare_ffmpeg(program: str, clip: NDArray[np.uint8], wave: NDArray[np.float32]) -> Cost:
    """The same through the ``ffmpeg`` program: frames by pipe, sound from a file in memory."""
    _, height, width, _ = clip.shape
    ceiling = str(round(width * height * FPS / 4))
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.NamedTemporaryFile(suffix=".f32", dir=memory) as sound_file:
        sound_file.write(np.ascontiguousarray(wave.T).tobytes())
        sound_file.flush()
        command = [program, "-hide_banner", "-loglevel", "error", "-nostdin"]
        command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(FPS), "-i", "pipe:0"]
        command += ["-f", "f32le", "-ar", str(AUDIO_RATE_HZ), "-ac", "2", "-i", sound_file.name]
        command += ["-vf", "scale=flags=area+full_chroma_inp:out_color_matrix=bt709:out_range=tv,format=yuv420p"]
        command += ["-c:v", "libx264", "-preset", PRESETS[0], "-tune", "zerolatency", "-crf", str(QUALITY)]
        command += ["-maxrate", ceiling, "-bufsize", ceiling, "-sc_threshold", "0", "-g", str(FPS), "-threads", "1"]
        command += ["-c:a", "aac", "-aac_coder", "fast", "-b:a", str(BIT_RATE)]
        command += ["-movflags", "frag_keyframe+empty_moov+default_base_moof", "-frag_duration", "250000"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall = time.perf_counter()
        process = subprocess.Popen([*command, "-f", "mp4", "pipe:1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        feeder = threading.Thread(target=_feed, args=(process.stdin, clip))
        feeder.start()
        size = sum(len(block) for block in iter(lambda: process.stdout.read1(1 << 20), b""))
        feeder.join()
        if process.wait() != 0:
            raise SystemExit(f"{program} failed with code {process.returncode}")
        wall_s = time.perf_counter() - wall
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, size)


def _feed(pipe: object, clip: NDArray[np.uint8]) -> None:
    with pipe as stdin:  # type: ignore[attr-defined]
        for frame in clip:
            stdin.write(memoryview(frame).cast("B"))


def best(costs: list[Cost]) -> Cost:
    """The least of each figure over the rounds."""
    return Cost(
        min(cost.wall_s for cost in costs),
        min(cost.cpu_s for cost in costs),
        costs[0].size_bytes,
        min(cost.first_fragment_ms for cost in costs),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Cost of coding a segment against bare ffmpeg.")
    parser.add_argument("--sizes", default="1024x576,1920x1088", help="comma-separated WIDTHxHEIGHT")
    parser.add_argument("--frames", type=int, default=121)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ffmpeg", default=shutil.which("ffmpeg"), help="the program to compare with")
    arguments = parser.parse_args()
    if not arguments.ffmpeg:
        print("No ffmpeg program found to compare with; install it (Debian: apt-get install ffmpeg) or pass --ffmpeg.")
        return 0
    version = subprocess.run([arguments.ffmpeg, "-version"], capture_output=True, text=True, check=True).stdout
    rows = []
    for size in arguments.sizes.split(","):
        width, height = (int(side) for side in size.split("x"))
        clip, wave = moving_picture(width, height, arguments.frames), sound(arguments.frames)
        rounds = [(ours(clip, wave), bare_ffmpeg(arguments.ffmpeg, clip, wave)) for _ in range(arguments.rounds)]
        mine, bare = best([pair[0] for pair in rounds]), best([pair[1] for pair in rounds])
        row = {
            "size": size,
            "frames": arguments.frames,
            "ours": asdict(mine),
            "ffmpeg": asdict(bare),
            "wall_ratio": mine.wall_s / bare.wall_s,
            "cpu_ratio": mine.cpu_s / bare.cpu_s,
            "first_fragment_ms": mine.first_fragment_ms,
        }
        rows.append(row)
        print(
            f"{size}: wall {mine.wall_s:.3f} s / {bare.wall_s:.3f} s = {row['wall_ratio']:.2f}, "
            f"cpu {mine.cpu_s:.3f} s / {bare.cpu_s:.3f} s = {row['cpu_ratio']:.2f}, "
            f"bytes {mine.size_bytes / bare.size_bytes:.2f}, first fragment {mine.first_fragment_ms:.0f} ms"
        )
    RESULTS.mkdir(exist_ok=True)
    result = {
        "benchmark": "encode",
        "against": version.splitlines()[0],
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()},
        "goals": GOALS,
        "rows": rows,
    }
    (RESULTS / "encode.json").write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
