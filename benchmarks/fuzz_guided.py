"""The same as ``fuzz_trial``, with inputs that atheris makes: changed further where they reached new code."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path

INSTALL = "coverage-guided fuzzing needs atheris: pip install atheris (Python 3.11 or newer, Linux)"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        import atheris  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        print(INSTALL, file=sys.stderr)
        return 2
    with atheris.instrument_imports(include=["fastvideo.api", "fastvideo.media", "fastvideo.entrypoints", "PIL"]):
        from benchmarks.fuzz_targets import TARGETS
        from benchmarks.fuzz_trial import Watch

        target = TARGETS[arguments.target]()
    warnings.simplefilter("ignore")
    watch = Watch(target)

    def put(data: bytes) -> None:
        watch.put(data)
        if watch.trial.inputs >= arguments.count:
            print(json.dumps(asdict(watch.done())), flush=True)
            # libFuzzer returns to nobody.
            os._exit(0)

    with tempfile.TemporaryDirectory(prefix="fastvideo-fuzz-") as folder:
        for number, seed in enumerate(target.seeds):
            (Path(folder) / str(number)).write_bytes(seed)
        atheris.Setup([sys.argv[0], f"-seed={arguments.seed + 1}", "-max_len=16384", "-verbosity=0", folder], put)
        atheris.Fuzz()
    return 1


if __name__ == "__main__":
    sys.exit(main())
