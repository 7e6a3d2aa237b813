"""Starts worker processes, each with a socket to its pool, and ends them with everything they started."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Protocol

from fastvideo.entrypoints.streaming.visible_devices import VARIABLE

_COMMAND = (sys.executable, "-m", "fastvideo.entrypoints.streaming.worker_process")


class LaunchedWorker(Protocol):
    """A worker that runs, or did. Its connection is closed from the other end when it dies."""

    connection: socket.socket
    #: What it prints; None for a worker that has no output of its own.
    output: IO[bytes] | None
    pid: int | None

    def kill(self) -> None:
        """End it at once, whatever it does."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Block until it has ended; tells whether it did."""
        ...


class Launch(Protocol):
    """How a pool gets a worker; called on a thread, because it blocks for some milliseconds."""

    def __call__(self, index: int, devices: Sequence[str], workers: int) -> LaunchedWorker:
        """Start worker ``index`` of ``workers`` with the devices that it may see."""
        ...


class WorkerSubprocess:
    """A Python process of its own, in a session of its own: a signal at the terminal reaches the server alone."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """``command`` gets the number of its socket as its last argument."""
        self.connection, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(  # noqa: S603  # never a command from outside
                [*command, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                pass_fds=(theirs.fileno(),),
                env=environment,
                start_new_session=True,
            )
        except BaseException:
            self.connection.close()
            raise
        finally:
            theirs.close()
        self.output = self._process.stdout
        self.pid: int | None = self._process.pid

    def kill(self) -> None:
        """End the process and its children; the process itself stays to be waited for."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self, timeout_s: float) -> bool:
        """Block until the process has ended, and free its entry; tells whether it did."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True


def launch_worker(
    index: int, devices: Sequence[str], workers: int, *, command: Sequence[str] = _COMMAND
) -> WorkerSubprocess:
    """A worker process that sees ``devices`` alone; on the CPU, one that takes its share of the cores."""
    del index
    return WorkerSubprocess(command, worker_environment(os.environ, devices, workers))


def worker_environment(environ: Mapping[str, str], devices: Sequence[str], workers: int) -> dict[str, str]:
    """What a worker's process finds in its environment, from that of this one."""
    environment = dict(environ)
    if devices:
        environment[VARIABLE] = ",".join(devices)
    else:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    return environment
