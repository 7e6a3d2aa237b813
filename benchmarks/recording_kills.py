"""Processes that are killed (-9) while they record, at random moments and before each single step on the disk.

After each kill the folder is opened as a server does at its start, and every recording is looked at: its media must be
exactly the first so many fragments of the session, with an index of just those, everything that was acknowledged must
be there, its pictures must decode, and its events must be whole.
"""

from __future__ import annotations

import io
import random
import signal
import struct
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av

from benchmarks.killed_writers import Writers
from benchmarks.recording_writer import BOUNDS, FPS, PROMPT, coded_session
from benchmarks.report import Effort, Figure, Report, main
from fastvideo.entrypoints.streaming.recordings.event_lines import END, read_events
from fastvideo.entrypoints.streaming.recordings.library import Library
from fastvideo.entrypoints.streaming.recordings.recording import EVENTS, MEDIA
from fastvideo.entrypoints.streaming.recordings.recording_info import RecordingInfo
from fastvideo.media.boxes import BoxError, parse_boxes
from fastvideo.media.segment_index import INDEX_BYTES

_WRITER = "benchmarks.recording_writer"
_KILLS = {Effort.QUICK: 3, Effort.NORMAL: 20, Effort.LONG: 200}
_LONGEST_S = 0.1


@dataclass
class Findings:
    """``kills`` that hit a writer, recordings that were ``read`` afterwards, ``cut`` ones among them, and faults."""

    kills: int = 0
    read: int = 0
    cut: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass
class _Told:
    """What a writer said before its end."""

    have: dict[str, int] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    status: int = 0


def _run(writers: Writers, order: dict[str, Any], kill_after_s: float | None = None) -> _Told:
    """One writer, killed so long after its first word about a recording; its end is awaited."""
    told = _Told()

    def hear(words: list[str]) -> None:
        match words:
            case ["have", recording_id, size]:
                told.have[recording_id] = int(size)
            case ["done", recording_id]:
                told.done.append(recording_id)

    told.status = writers.run(order, hear, kill_after_s=kill_after_s, first_words=("have",))
    return told


def kill_at_random(folder: Path, kills: int, seed: int = 0) -> Findings:
    """So many writers, each killed at a random moment."""
    found, chance = Findings(), random.Random(seed)
    with Writers(_WRITER) as writers:
        for number in range(kills):
            order = {"folder": str(folder), "seed": seed + number}
            told = _run(writers, order, chance.uniform(0.0, _LONGEST_S))
            _check(folder, told, found, expected=-signal.SIGKILL)
    return found


def kill_before_each_step(folder: Path) -> Findings:
    """Writers that find a recording of a killed one and make a new one, each ended before the next step on the disk,
    until one gets through."""
    found, step = Findings(), 0
    with Writers(_WRITER) as writers:
        told = _run(writers, {"folder": str(folder), "seed": -1, "rounds": 1})
        _check(folder, told, found, expected=0)
        while True:
            _interrupt_newest(folder)
            told = _run(writers, {"folder": str(folder), "seed": step, "die_at": step, "rounds": 1})
            _check(folder, told, found, expected=0 if told.status == 0 else -signal.SIGKILL)
            if told.status == 0:
                return found
            step += 1


def _interrupt_newest(folder: Path) -> None:
    """Make one that has ended look as if its writer had been killed."""
    path = max((events.parent for events in folder.glob(f"*/{EVENTS}")), key=lambda path: path.stat().st_mtime)
    lines = (path / EVENTS).read_bytes().splitlines(keepends=True)
    (path / EVENTS).write_bytes(b"".join(lines[:-1]) + lines[-1][:10])
    with (path / MEDIA).open("ab") as file:
        file.write(coded_session()[1][0][0][:1000])


def _check(folder: Path, told: _Told, found: Findings, *, expected: int) -> None:
    found.kills += told.status == -signal.SIGKILL
    if told.status != expected:
        found.faults.append(f"a writer ended with {told.status}, expected {expected}")
    library = Library(folder, BOUNDS)
    infos, _ = library.newest(1000)
    for info in infos:
        found.read += 1
        found.cut += info.reason == "interrupted"
        found.faults += [f"{info.id}: {fault}" for fault in _faults(folder / info.id, info)]
    there = {info.id: info for info in infos}
    # Older ones make room for newer ones; the two newest stay in any case.
    for recording_id in list(told.have)[-2:]:
        info = there.get(recording_id)
        if told.have[recording_id] > (info.media_bytes if info is not None else 0):
            found.faults.append(f"{recording_id}: {told.have[recording_id]} bytes were acknowledged, and are not there")
        if recording_id in told.done and (info is None or info.reason != "stop_requested"):
            found.faults.append(f"{recording_id}: it had ended, and has not")
    left = {path.name for path in folder.iterdir()} - set(there) - {".lock"}
    found.faults += [f"{name} was left behind" for name in left]
    library.close()


def _faults(path: Path, info: RecordingInfo) -> list[str]:
    init, segments = coded_session()
    body, data = b"".join(fragment for segment in segments for fragment in segment), (path / MEDIA).read_bytes()
    media = data[len(init) + INDEX_BYTES :]
    if not data.startswith(init) or not body.startswith(media) or not media or len(data) != info.media_bytes:
        return [f"its {len(data)} bytes are not the beginning of the session"]
    try:
        boxes = parse_boxes(data)
    except BoxError as error:
        return [f"its boxes are not whole: {error}"]
    sidx = next((box for box in boxes if box.kind == b"sidx"), None)
    if sidx is None:
        return ["it has no index"]
    (count,) = sidx.fields("H", 30)
    indexed = sum(struct.unpack_from(">I", sidx.payload, 32 + 12 * number)[0] for number in range(count))
    faults = [] if indexed == len(media) else [f"its index is of {indexed} bytes, and {len(media)} are there"]
    with av.open(io.BytesIO(data)) as container:
        pictures = sum(1 for _ in container.decode(video=0))
    if pictures != round(info.duration_s * FPS):
        faults.append(f"{pictures} pictures, expected {info.duration_s} s of them")
    events, size = read_events(path / EVENTS)
    if size != (path / EVENTS).stat().st_size or events[-1]["event"] != END or info.prompt != PROMPT:
        faults.append("its events are not whole")
    return faults


def measure(effort: Effort) -> Report:
    """Kill, and look at what is there."""
    with tempfile.TemporaryDirectory(prefix="fastvideo-recordings-") as folder:
        found = {
            "at random": kill_at_random(Path(folder, "random"), _KILLS[effort]),
            "before each step": kill_before_each_step(Path(folder, "steps")),
        }
    figures = [
        Figure(
            f"killed {name}: recordings with a fault",
            float(len(each.faults)),
            "",
            0.0,
            f"{each.kills} kills, {each.read} recordings read, {each.cut} of them cut",
        )
        for name, each in found.items()
    ]
    return Report("recording_kills", effort, figures, details={name: each.faults[:100] for name, each in found.items()})


if __name__ == "__main__":
    sys.exit(main("recording_kills", __doc__, measure))
