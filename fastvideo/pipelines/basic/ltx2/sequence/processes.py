"""The processes of a sequence-parallel model's other ranks: started, waited for, told, ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fastvideo.api.errors import CheckpointError, ConfigValidationError, GeneratorLost
from fastvideo.api.parser import config_to_dict
from fastvideo.api.schema import GeneratorConfig
from fastvideo.models.ltx2.sequence_group import SequenceGroup
from fastvideo.pipelines.basic.ltx2.sequence.link import RankLink

# For loading, for each exchange, and for ``engine.parallelism.dist_timeout`` where it says nothing.
DEFAULT_TIMEOUT_S = 600.0
_END_S = 5.0
_COMMAND = (sys.executable, "-m", "fastvideo.pipelines.basic.ltx2.sequence.rank")


class SequenceProcesses:
    """Ranks 1 to ``size`` - 1, which load the transformer as soon as they are made."""

    def __init__(self, checkpoint: Path, config: GeneratorConfig, size: int) -> None:
        if torch.cuda.is_available() and torch.cuda.device_count() < size:
            raise ConfigValidationError(
                "engine.num_gpus", f"expected at most the {torch.cuda.device_count()} visible GPUs, got {size}"
            )
        timeout = config.engine.parallelism.dist_timeout
        self._timeout_s = DEFAULT_TIMEOUT_S if timeout is None else float(timeout)
        self._size = size
        # Where the ranks meet; only this user may.
        self._folder = Path(tempfile.mkdtemp(prefix="fastvideo-ranks-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._links: list[RankLink] = []
        start = {
            "size": size,
            "meeting": str(self._folder / "meeting"),
            "timeout_s": self._timeout_s,
            "checkpoint": str(checkpoint.absolute()),
            "config": config_to_dict(config),
        }
        try:
            for rank in range(1, size):
                self._launch(rank, start)
        except BaseException:
            self.close()
            raise

    def joined(self, device: torch.device) -> SequenceGroup:
        """This process as rank 0, once the others have loaded the model.

        Raises CheckpointError when one could not, or not in time.
        """
        end_s = time.monotonic() + self._timeout_s
        try:
            for link in self._links:
                answer = link.hear(max(end_s - time.monotonic(), 0.001))
                if answer is None or "failed" in answer:
                    reason = "it ended; its output has the reason" if answer is None else answer["failed"]
                    raise CheckpointError(f"a process of the sequence-parallel model could not load it: {reason}")
            own = torch.device("cuda", 0) if device.type == "cuda" else device
            return SequenceGroup.joined(self._folder / "meeting", 0, self._size, device=own, timeout_s=self._timeout_s)
        except (TimeoutError, RuntimeError) as error:
            raise CheckpointError(
                f"the processes of the sequence-parallel model were not ready within {self._timeout_s:.0f} s; "
                "engine.parallelism.dist_timeout gives them longer"
            ) from error

    def tell(self, message: Mapping[str, Any]) -> None:
        """The same to each. Raises OSError when one is gone, GeneratorLost when they were ended."""
        if not self._links:
            raise GeneratorLost("the processes of the sequence-parallel model have ended")
        for link in self._links:
            link.tell(message)

    def close(self) -> None:
        """End them: they hear that nobody is there, and are killed if that does not help. Twice is the same as once."""
        for link in self._links:
            link.close()
        self._links.clear()
        for process in self._processes:
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _launch(self, rank: int, start: Mapping[str, Any]) -> None:
        ours, theirs = socket.socketpair()
        with contextlib.closing(theirs):
            self._links.append(RankLink(ours))
            # In this process's group, so that whoever kills that leaves none of them.
            process = subprocess.Popen(  # noqa: S603  # never a command from outside
                [*_COMMAND, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=_environment(self._size),
            )
        self._processes.append(process)
        self._links[-1].tell({"rank": rank, **start})


def _environment(size: int) -> dict[str, str]:
    """On the CPU, a process takes its share of the cores."""
    environment = dict(os.environ)
    if not torch.cuda.is_available():
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // size)))
    return environment
