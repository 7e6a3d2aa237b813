"""Writes to stores until it is killed. Run by ``store_kills``: a process that forks a writer for each line it reads.

A line is JSON: the stores' URLs, a seed, and perhaps ``die_at``: the number of the step on a disk before which the
writer ends itself, which is how every point between two steps is met. For each line come back ``pid N``, then of the
writer ``begun N`` before and ``done N`` after it stores state ``N``, ``put ID`` after a blob is stored, and at last
``ended STATUS``.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from typing import Any

from fastvideo.api.schema import ContinuationState

# Imported for writers, which are forked, and need not load them again.
from fastvideo.entrypoints.streaming import file_blobs, file_sessions, redis_blobs, redis_sessions  # noqa: F401
from fastvideo.entrypoints.streaming.store_urls import Stores, open_stores

SESSION = "session"
HOLDER = "writer"
_STEPS = ("write", "fsync", "utime", "replace", "unlink", "close")
_MAX_BYTES = 1 << 20


def marked_state(number: int, size: int) -> ContinuationState:
    """A state that tells by itself whether it is whole."""
    return ContinuationState("ltx2.v1", {"number": number, "size": size, "text": str(number % 10) * size})


def is_whole_state(state: ContinuationState) -> bool:
    """Whether this is a state as the writer made it."""
    return state == marked_state(state.payload["number"], state.payload["size"])


def marked_blob(noise: random.Random, size: int) -> bytes:
    """Bytes that tell by themselves whether they are whole."""
    body = noise.randbytes(size)
    return hashlib.sha256(body).digest() + body


def is_whole_blob(data: bytes) -> bool:
    """Whether this is a blob as the writer made it."""
    return hashlib.sha256(data[32:]).digest() == data[:32]


def _tell(text: str) -> None:
    # Shorter than a pipe's buffer, so it is written whole or not at all.
    os.write(1, f"{text}\n".encode())


def _write_on(stores: Stores, seed: int, rounds: int | None) -> None:
    noise = random.Random(seed)
    sessions, blobs = stores.sessions, stores.blobs.owned(SESSION)
    blobs.drop_owner(SESSION)
    lease = sessions.acquire(SESSION, f"{HOLDER} {seed}", take_over=True)
    known = sessions.snapshot(SESSION)
    first = known.payload["number"] + 1 if known is not None else 0
    for number in itertools.count(first) if rounds is None else range(first, first + rounds):
        new = [blobs.put(marked_blob(noise, noise.randrange(_MAX_BYTES))) for _ in range(2)]
        for blob_id in new:
            _tell(f"put {blob_id}")
        _tell(f"begun {number}")
        sessions.store(SESSION, marked_state(number, noise.randrange(_MAX_BYTES)), lease=lease)
        _tell(f"done {number}")
        sessions.renew(lease)
        other = f"other {number}"
        sessions.store(other, marked_state(number, 10))
        sessions.drop(other)
        _tell(f"drop {new[0]}")
        blobs.drop(new[0])
        _tell(f"drop {new[1]}")
        blobs.drop_owner(SESSION)
        sessions.release(lease)
        lease = sessions.acquire(SESSION, f"{HOLDER} {seed}")


def _die_at(step: int) -> None:
    """End this process before its ``step``-th step on a disk, as a kill does: nothing is cleaned up."""
    left = itertools.count(step, -1)

    def counted(action: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **settings: Any) -> Any:
            # What it tells us is no step.
            if arguments[0] != 1 and next(left) == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return action(*arguments, **settings)

        return run

    for name in _STEPS:
        setattr(os, name, counted(getattr(os, name)))


def _be_writer(order: dict[str, Any]) -> None:
    try:
        stores = open_stores(order["sessions"], order["blobs"])
        if order.get("die_at") is not None:
            _die_at(order["die_at"])
        _write_on(stores, order["seed"], order.get("rounds"))
    except BaseException as error:
        os.write(2, f"the writer failed: {error!r}\n".encode())
        os._exit(1)
    os._exit(0)


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _be_writer(order)
        _tell(f"pid {pid}")
        _, status = os.waitpid(pid, 0)
        _tell(f"ended {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    main()
