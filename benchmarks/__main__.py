"""Runs benchmarks one after the other, each in a process of its own, and prints one table. See ``scripts/bench``."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.report import RESULTS, Report, table

NAMES = (
    *("startup", "encode", "segment", "critical_path", "text_ahead", "control", "fragments", "raw_frames", "memory"),
    *("director_traces", "pool_scaling", "pool_kills", "pool_faults"),
    *("fuzz", "store_kills", "recording_kills", "router", "resume_cuts", "cluster", "endings", "crowd", "jobs"),
    *("realtime", "pipeline", "levers", "soak", "looped_playback", "embedded_quality", "embedded_live"),
)
ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure the service against bare tools; benchmarks/README.md says how to read the figures.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(NAMES)}; all by default")
    parser.add_argument("--long", action="store_true", help="more and longer rounds; the soak takes 30 minutes")
    parser.add_argument("--quick", action="store_true", help="only shows that they run")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark named {', '.join(unknown)}; there are {', '.join(NAMES)}")
    effort = ["--long"] if arguments.long else ["--quick"] if arguments.quick else []
    reports, failed = [], []
    for name in arguments.names or NAMES:
        print(f"--- {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *effort], cwd=ROOT).returncode == 0:
            reports.append(Report.read(RESULTS / f"{name}.json"))
        else:
            failed.append(name)
    print(f"\n{table(reports)}\n\nJSON: {RESULTS.relative_to(ROOT)}/")
    if failed:
        print(f"did not run to the end: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
