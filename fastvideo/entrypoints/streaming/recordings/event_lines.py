"""``events.jsonl`` of a recording: what happened, and at which time of its media."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

START = "recording_start"
END = "recording_end"
_MAX_READ_BYTES = 64 << 20


def event_line(event: str, ts: float, media_s: float, payload: Mapping[str, Any]) -> bytes:
    """One line. ``ts`` in seconds since the epoch, ``media_s`` where the recorded pictures ended at that moment."""
    line = {"event": event, "ts": round(ts, 3), "media_s": round(media_s, 3), "payload": dict(payload)}
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=str).encode() + b"\n"


def whole_lines(data: bytes) -> list[dict[str, Any]]:
    """The events of a file, up to the line in which its writer was killed."""
    events = []
    for line in data.split(b"\n")[:-1]:
        try:
            event = json.loads(line)
        except ValueError:
            break
        if not isinstance(event, dict) or not isinstance(event.get("payload"), dict):
            break
        events.append(event)
    return events


def read_events(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The whole events of a file, and where the last one ends; none when it is not there."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_READ_BYTES)
    except FileNotFoundError:
        return [], 0
    events = whole_lines(data)
    ends = 0
    for _ in events:
        ends = data.index(b"\n", ends) + 1
    return events, ends


class EventFile:
    """Appends to one file; blocking. Raises OSError."""

    def __init__(self, path: Path, *, keep_bytes: int = 0) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        # What follows the last whole line was never finished.
        os.ftruncate(self._fd, keep_bytes)
        self.size = keep_bytes

    def append(self, line: bytes) -> None:
        """Add a line; what a full disk took of it is taken back."""
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            os.ftruncate(self._fd, self.size)
            raise
        self.size += len(line)

    def close(self) -> None:
        """Bring it to the disk, and close; once."""
        try:
            os.fsync(self._fd)
        finally:
            os.close(self._fd)
