"""Processes that are killed (-9) while they write to stores, at random moments, and on a disk before each single step.

A writer replaces a session's state again and again, with a lease, and puts and drops blobs. After each kill everything
that is there is read: all of it must be whole, the state must be the last that was acknowledged or the one after it,
and a blob that was acknowledged and not dropped must be there.
"""

from __future__ import annotations

import logging
import random
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from benchmarks.killed_writers import Writers
from benchmarks.redis_server import RedisServer
from benchmarks.report import Effort, Figure, Report, main
from benchmarks.store_writer import SESSION, is_whole_blob, is_whole_state
from fastvideo.entrypoints.streaming.store_urls import Stores, open_stores

_WRITER = "benchmarks.store_writer"
_MOMENTS = {Effort.QUICK: 3, Effort.NORMAL: 20, Effort.LONG: 200}
_LONGEST_S = 0.15


@dataclass
class Findings:
    """``kills`` that hit a writer, ``acknowledged`` states and ``read`` entries, and what was wrong with any."""

    kills: int = 0
    acknowledged: int = 0
    read: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass
class _Told:
    """What a writer said before its end: numbers of states, and ids of blobs that must be there."""

    begun: int = -1
    done: int = -1
    put: set[str] = field(default_factory=set)
    status: int = 0


def _run(writers: Writers, order: dict[str, Any], kill_after_s: float | None = None) -> _Told:
    """One writer, killed so long after its first word about a blob or a state; its end is awaited."""
    told = _Told()

    def hear(words: list[str]) -> None:
        match words:
            case ["begun", number]:
                told.begun = int(number)
            case ["done", number]:
                told.done = int(number)
            case ["put", blob_id]:
                told.put.add(blob_id)
            case ["drop", blob_id]:
                told.put.discard(blob_id)

    told.status = writers.run(order, hear, kill_after_s=kill_after_s, first_words=("put", "begun"))
    return told


def kill_at_random(sessions_url: str, blobs_url: str, moments: int, seed: int = 0) -> Findings:
    """So many writers, each killed at a random moment."""
    found, chance = Findings(), random.Random(seed)
    with Writers(_WRITER) as writers, _opened(sessions_url, blobs_url) as stores:
        for number in range(moments):
            order = {"sessions": sessions_url, "blobs": blobs_url, "seed": seed + number}
            told = _run(writers, order, chance.uniform(0.0, _LONGEST_S))
            _check(stores, blobs_url, told, found, expected=-signal.SIGKILL)
    return found


def kill_before_each_step(folder: Path, rounds: int = 1) -> Findings:
    """Writers to files, each ended before the next step on the disk, until one gets through."""
    found, url = Findings(), f"file:{folder}"
    with Writers(_WRITER) as writers, _opened(url, url) as stores:
        step = 0
        while True:
            order = {"sessions": url, "blobs": url, "seed": step, "die_at": step, "rounds": rounds}
            told = _run(writers, order)
            _check(stores, url, told, found, expected=0 if told.status == 0 else -signal.SIGKILL)
            if told.status == 0:
                return found
            step += 1


@contextmanager
def _opened(sessions_url: str, blobs_url: str) -> Iterator[Stores]:
    stores, noted = open_stores(sessions_url, blobs_url), _Noted()
    logger = logging.getLogger("fastvideo.entrypoints.streaming")
    logger.addHandler(noted)
    try:
        yield stores
    finally:
        logger.removeHandler(noted)
        stores.close()
    if noted.messages:
        raise RuntimeError(f"the stores complained: {noted.messages[:3]}")


class _Noted(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def _check(stores: Stores, blobs_url: str, told: _Told, found: Findings, *, expected: int) -> None:
    found.kills += told.status == -signal.SIGKILL
    found.acknowledged += told.done >= 0
    if told.status != expected:
        found.faults.append(f"a writer ended with {told.status}, expected {expected}")
    for session_id in stores.sessions:
        state = stores.sessions.snapshot(session_id)
        found.read += 1
        if state is None or not is_whole_state(state):
            found.faults.append(f"the state of {session_id} is not whole")
        elif session_id == SESSION and told.begun >= 0:
            number, expected_numbers = state.payload["number"], {told.begun, max(told.done, told.begun - 1)}
            if number not in expected_numbers:
                found.faults.append(f"state {number} is there, expected one of {expected_numbers}")
    if told.done >= 0 and SESSION not in stores.sessions:
        found.faults.append(f"state {told.done} was acknowledged and is gone")
    there = _blob_ids(blobs_url)
    found.faults += [f"blob {blob_id} was acknowledged and is gone" for blob_id in told.put - there]
    for blob_id in there:
        found.read += 1
        try:
            whole = is_whole_blob(stores.blobs.get(blob_id, owner=SESSION))
        except KeyError:
            whole = False
        if not whole:
            found.faults.append(f"blob {blob_id} is not whole")


def _blob_ids(url: str) -> set[str]:
    """Every blob that could be read, from what lies in the folder or in Redis."""
    if url.startswith("file:"):
        return {path.stem for path in Path(url.removeprefix("file:"), "blobs").glob("*.blob")}
    with redis.Redis.from_url(url) as client:
        return {key.decode().rpartition(":")[2] for key in client.scan_iter("fastvideo:blobs:data:*")}


def measure(effort: Effort) -> Report:
    """Kill, and read what is there."""
    with tempfile.TemporaryDirectory(prefix="fastvideo-stores-") as folder, RedisServer() as server:
        url = f"file:{folder}/random"
        found = {
            "files": kill_at_random(url, url, _MOMENTS[effort]),
            "files, each step": kill_before_each_step(Path(folder, "steps")),
            "Redis": kill_at_random(server.url, server.url, _MOMENTS[effort]),
        }
    figures = [
        Figure(
            f"{name}: half-written, lost or of another time",
            float(len(each.faults)),
            "",
            0.0,
            f"{each.kills} kills, {each.acknowledged} after an acknowledged state, {each.read} entries read",
        )
        for name, each in found.items()
    ]
    return Report("store_kills", effort, figures, details={name: each.faults[:100] for name, each in found.items()})


if __name__ == "__main__":
    sys.exit(main("store_kills", __doc__, measure))
