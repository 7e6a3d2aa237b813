"""Processes of the command line that share work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

# What torchrun gives the processes of a run that is interrupted.
_LAST_WORDS_S = 35.0


def launch_distributed(num_gpus: int, args: Sequence[str], master_port: int | None = None) -> int:
    """Run ``fastvideo ARGS`` in ``num_gpus`` processes under torchrun, and give its exit code: 0 when all had 0.

    Each process finds its number in RANK and theirs in WORLD_SIZE; ``fastvideo generate`` takes its share of the
    prompts by them. What they print is printed. ``master_port`` is where they meet, any free port where it is None.
    """
    meeting = ["--standalone"] if master_port is None else ["--master-port", str(master_port)]
    command = [
        *(sys.executable, "-m", "torch.distributed.run", *meeting, "--nproc-per-node", str(num_gpus)),
        *("--module", "fastvideo.entrypoints.cli.main", *args),
    ]
    threads = max(1, (os.cpu_count() or 1) // num_gpus)
    # A list of words and no shell; the words are those of our own command line.
    process = subprocess.Popen(command, env={"OMP_NUM_THREADS": str(threads), **os.environ})  # noqa: S603
    try:
        return process.wait()
    except KeyboardInterrupt:
        # The terminal told all of them; torchrun ends when its processes have.
        try:
            process.wait(_LAST_WORDS_S)
        except subprocess.TimeoutExpired:
            process.kill()
        raise
