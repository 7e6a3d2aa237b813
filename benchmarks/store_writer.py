"""Writes to stores until it is killed, for ``store_kills``: forks a writer for each order.

An order holds the stores' URLs, ``sessions`` and ``blobs``. A writer says ``begun N`` before and ``done N`` after it
stores state ``N``, ``put ID`` after a blob is stored, and ``drop ID`` before one is dropped.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from typing import Any

from benchmarks.killed_writers import fork_writers, tell
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
            tell(f"put {blob_id}")
        tell(f"begun {number}")
        sessions.store(SESSION, marked_state(number, noise.randrange(_MAX_BYTES)), lease=lease)
        tell(f"done {number}")
        sessions.renew(lease)
        other = f"other {number}"
        sessions.store(other, marked_state(number, 10))
        sessions.drop(other)
        tell(f"drop {new[0]}")
        blobs.drop(new[0])
        tell(f"drop {new[1]}")
        blobs.drop_owner(SESSION)
        sessions.release(lease)
        lease = sessions.acquire(SESSION, f"{HOLDER} {seed}")


def _write(order: dict[str, Any]) -> None:
    _write_on(open_stores(order["sessions"], order["blobs"]), order["seed"], order.get("rounds"))


if __name__ == "__main__":
    fork_writers(_write, _STEPS)
