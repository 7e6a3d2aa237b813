"""A worker process whose generator does what its prompt says: hang, print, grow, exit, fork. Run as a script.

With a folder as its first argument it dies while it boots, once for each file there, which it removes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.results import VideoEvent
from fastvideo.api.schema import GenerationRequest
from fastvideo.entrypoints.streaming import worker_process
from fastvideo.entrypoints.streaming.mock_generator import MockGenerator
from fastvideo.entrypoints.streaming.worker import SegmentGenerator
from fastvideo.entrypoints.streaming.worker_messages import Boot

GROWN_BYTES = 400 << 20
_HANGING_S = 600.0


class FaultyGenerator(MockGenerator):
    """Obeys a prompt's first word before it paints."""

    kept: bytearray | None = None

    def stream(self, request: GenerationRequest, *, cancel: CancellationToken | None = None) -> Iterator[VideoEvent]:
        """As the fake generator's, unless the prompt is a fault."""
        match str(request.prompt).split()[0]:
            case "hang":
                time.sleep(_HANGING_S)
            case "print":
                # A megabyte in one line, empty lines, and more lines than anybody reads.
                sys.stdout.write("many words " * 100_000)
                sys.stdout.write("\n" * 1000)
                sys.stderr.write("and the last one\n" * 1000)
                sys.stdout.flush()
            case "grow":
                self.kept = bytearray(os.urandom(1 << 20) * (GROWN_BYTES >> 20))
                time.sleep(_HANGING_S)
            case "exit":
                os._exit(9)
            case "fork":
                # A child that keeps the process's output open.
                subprocess.Popen(["sleep", str(_HANGING_S)])
                os._exit(9)
        yield from super().stream(request, cancel=cancel)


def faulty_command(boot_deaths: Path | None = None) -> tuple[str, ...]:
    """How to start such a worker; ``boot_deaths`` is the folder."""
    return (sys.executable, __file__, *(() if boot_deaths is None else (str(boot_deaths),)))


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 2 else None

    def build(boot: Boot) -> SegmentGenerator:
        deaths = sorted(folder.iterdir()) if folder is not None else []
        if deaths:
            deaths[0].unlink()
            os._exit(7)
        return FaultyGenerator.from_model_path(boot.generator.model_path)

    worker_process.main(sys.argv, build)


if __name__ == "__main__":
    main()
