"""Writers that are killed (-9): a process that forks one for each order, and whoever orders and kills them.

An order is a line of JSON, whose keys are the writer's own but for ``die_at``: the number of the step on a disk before
which the writer ends itself, which is how every point between two steps is met. What a writer says comes back in lines
of words, the first of them ``pid N``; its end follows as ``ended STATUS``.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent


class Writers:
    """The process that forks writers: ``python -m module``, which calls :func:`fork_writers`."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", self._module], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def run(
        self,
        order: dict[str, Any],
        hear: Callable[[list[str]], None],
        *,
        kill_after_s: float | None = None,
        first_words: Collection[str] = (),
    ) -> int:
        """One writer to its end, and how that was: its exit status, or less the signal's number.

        ``hear`` is given the words of each line. With ``kill_after_s`` the writer is killed so long after the first
        line that begins with one of ``first_words``. Raises RuntimeError when the process that forks has ended, or when
        a writer has not said which process it is.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # Never a number until it is known: to the kernel 0 is our own group of processes, and -1 all that there are.
        pid: int | None = None
        killer: threading.Timer | None = None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        try:
            for line in self._process.stdout:
                words = line.decode().split()
                match words:
                    case ["pid", number] if int(number) > 0:
                        pid = int(number)
                    case ["ended", status]:
                        return int(status)
                    case _:
                        hear(words)
                        if killer is None and kill_after_s is not None and words[0] in first_words:
                            if pid is None:
                                raise RuntimeError(f"a writer said {words[0]!r} before its process id")
                            killer = threading.Timer(kill_after_s, os.kill, (pid, signal.SIGKILL))
                            killer.start()
        finally:
            if killer is not None:
                killer.cancel()
        raise RuntimeError("the process that forks writers ended; its messages are above")


def tell(text: str) -> None:
    """Say a line to whoever ordered. Shorter than a pipe's buffer, so that it is written whole or not at all."""
    os.write(1, f"{text}\n".encode())


def fork_writers(write: Callable[[dict[str, Any]], None], steps: Collection[str]) -> None:
    """Read orders and fork a writer for each, which runs ``write``, until there are no more.

    ``steps`` are the functions of ``os`` that count as steps on a disk. A writer that fails has status 1.
    """
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _be_writer(order, write, steps)
        _, status = os.waitpid(pid, 0)
        tell(f"ended {os.waitstatus_to_exitcode(status)}")


def _be_writer(order: dict[str, Any], write: Callable[[dict[str, Any]], None], steps: Collection[str]) -> None:
    try:
        # Said by the writer, so that it comes before anything else that it says.
        tell(f"pid {os.getpid()}")
        if order.get("die_at") is not None:
            _die_at(order["die_at"], steps)
        write(order)
    except BaseException as error:
        os.write(2, f"the writer failed: {error!r}\n".encode())
        os._exit(1)
    os._exit(0)


def _die_at(step: int, steps: Collection[str]) -> None:
    """End this process before its ``step``-th step on a disk, as a kill does: nothing is cleaned up."""
    left = itertools.count(step, -1)

    def counted(action: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **settings: Any) -> Any:
            # What it tells us is no step.
            if arguments[0] != 1 and next(left) == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return action(*arguments, **settings)

        return run

    for name in steps:
        setattr(os, name, counted(getattr(os, name)))
