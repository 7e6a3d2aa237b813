"""A worker process whose generator does what its prompt says: hang, print, grow, fork. Run by the tests of the pool."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from fastvideo.entrypoints.streaming import worker_process
from fastvideo.entrypoints.streaming.mock_generator import MockGenerator


class FaultyGenerator(MockGenerator):
    """Obeys a prompt's first word before it paints."""

    kept: Any = None

    def stream(self, request: Any, *, cancel: Any = None) -> Iterator[Any]:
        match request.prompt.split()[0]:
            case "hang":
                time.sleep(600)
            case "print":
                sys.stdout.write("many words " * 100_000)
                sys.stdout.write("\n" * 1000)
                sys.stderr.write("and the last one\n" * 1000)
                sys.stdout.flush()
            case "grow":
                self.kept = bytearray(os.urandom(1 << 20) * 400)
                time.sleep(600)
            case "fork":
                # A child that keeps the process's output open.
                subprocess.Popen(["sleep", "600"])
                os._exit(9)
        yield from super().stream(request, cancel=cancel)


def build(boot: Any) -> FaultyGenerator:
    if boot.generator.model_path == "mock:?sleep_ms=1":
        os._exit(7)
    return FaultyGenerator()


if __name__ == "__main__":
    worker_process.main(sys.argv, build)
