"""A worker under measurement, around frames that are ready (``--clip``) or media that is coded (``--replay``)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.clip import read_clip
from benchmarks.replay import ReplayLoad
from benchmarks.replay_segment import NoGenerator, replay_segment
from benchmarks.server_process import ROOT
from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.schema import GenerationRequest
from fastvideo.api.upcoming_text import UpcomingText
from fastvideo.entrypoints.streaming import worker_process
from fastvideo.entrypoints.streaming.segment_events import SegmentEvent, SegmentJob
from fastvideo.entrypoints.streaming.worker import SegmentGenerator
from fastvideo.entrypoints.streaming.worker_launch import WorkerSubprocess, worker_environment


class BenchLaunch:
    """Starts such workers for a pool; ``arguments`` as on the command line."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments

    def __call__(self, index: int, devices: Sequence[str], workers: int) -> WorkerSubprocess:
        """A worker process; which one of how many does not matter."""
        environment = {**worker_environment(os.environ, devices, workers), "PYTHONPATH": str(ROOT)}
        return WorkerSubprocess((sys.executable, "-m", "benchmarks.bench_worker", *self._arguments), environment)


class ReadyResult:
    """Gives the frames of a clip, uint8 [T, H, W, 3], as the result of every request."""

    model_id = "ready"

    def __init__(self, clip: Path) -> None:
        self._frames = read_clip(clip)

    def generate(self, request: GenerationRequest) -> dict[str, Any]:
        """The result, at once."""
        return {"frames": self._frames}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--clip", type=Path, help="a .npy file of frames, uint8 [T, H, W, 3]")
    source.add_argument("--replay", type=ReplayLoad.from_json, help="a load of coded media, as JSON")
    parser.add_argument("socket", help="the number of the inherited socket")
    arguments = parser.parse_args()
    if arguments.clip is not None:
        worker_process.main([arguments.socket], lambda boot: ReadyResult(arguments.clip))
    else:
        fragment = arguments.replay.fragment()

        def segment(
            generator: SegmentGenerator, job: SegmentJob, cancel: CancellationToken, upcoming: UpcomingText
        ) -> Generator[SegmentEvent, None, None]:
            return replay_segment(arguments.replay, fragment, job, cancel)

        worker_process.main([arguments.socket], lambda boot: NoGenerator(), make_segment=segment)


if __name__ == "__main__":
    main()
