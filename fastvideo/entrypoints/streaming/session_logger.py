"""One JSON-lines file per session, written by a thread of its own so that a slow disk never holds a session up."""

from __future__ import annotations

import json
import logging
import math
import queue
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

_log = logging.getLogger(__name__)

MAX_QUEUED_LINES = 4096
MAX_OPEN_FILES = 64
MAX_FILES = 2000
MAX_TEXT_CHARS = 8192
MAX_DEPTH = 8
MAX_ITEMS = 256
_FLUSH_TIMEOUT_S = 5.0
_MAX_ID_CHARS = 128


@dataclass(frozen=True)
class SessionLogEvent:
    """Something that happened in a session; `ts` is seconds since the epoch."""

    session_id: str
    event: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    ts: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class _Line:
    file_name: str
    text: str


@dataclass(frozen=True, slots=True)
class _Close:
    """Close one file, or all of them and the thread when `file_name` is None; then set `done`."""

    file_name: str | None
    done: threading.Event


class SessionLogger:
    """Appends events to `session-<id>.jsonl` in `log_dir`; None logs nothing. Thread-safe; `log` never waits.

    At most 2000 files are kept, the oldest go first, and at most 64 are open at once. When the disk cannot keep up,
    lines are dropped, and a line in the log of the session that lost them says how many.
    """

    def __init__(self, log_dir: str | None, *, max_files: int = MAX_FILES, max_queued: int = MAX_QUEUED_LINES) -> None:
        self._folder = None if log_dir is None else Path(log_dir)
        self._max_files = max_files
        self._max_queued = max_queued
        self._lock = threading.Lock()
        self._writer: _Writer | None = None
        self._dropped: dict[str, int] = {}

    def log(self, event: SessionLogEvent) -> None:
        """Queue one line; values that are no JSON become text."""
        if self._folder is None:
            return
        name = _file_name(event.session_id)
        line = _Line(name, _to_line(event.session_id, event.event, event.payload, event.ts))
        with self._lock:
            if self._writer is None:
                self._writer = _Writer(self._folder, self._max_files, self._max_queued)
                self._writer.start()
            lost = self._dropped.pop(name, 0)
            try:
                if lost:
                    notice = _to_line(event.session_id, "log_lines_dropped", {"count": lost}, event.ts)
                    self._writer.queue.put_nowait(_Line(name, notice))
                    lost = 0
                self._writer.queue.put_nowait(line)
            except queue.Full:
                self._dropped[name] = lost + 1

    def close(self, session_id: str, *, wait: bool = True) -> None:
        """Close a session's file after its queued lines; waits for that, unless told not to (on an event loop)."""
        name = _file_name(session_id)
        with self._lock:
            writer = self._writer
            self._dropped.pop(name, None)
        if writer is not None:
            writer.close(name, wait=wait)

    def close_all(self) -> None:
        """Write what is queued, close every file and end the thread. A later `log` starts again."""
        with self._lock:
            writer, self._writer = self._writer, None
            self._dropped.clear()
        if writer is not None:
            writer.close(None, wait=True)


class _Writer(threading.Thread):
    """The thread with the open files, the least recently used first, and the queue that feeds it."""

    def __init__(self, folder: Path, max_files: int, max_queued: int) -> None:
        super().__init__(name="session-log", daemon=True)
        self.queue: queue.Queue[_Line | _Close] = queue.Queue(max_queued)
        self._folder = folder
        self._max_files = max_files
        self._open: OrderedDict[str, IO[str]] = OrderedDict()
        self._kept: OrderedDict[str, None] | None = None
        self._failed = False

    def close(self, file_name: str | None, *, wait: bool) -> None:
        """Close a file, or all of them and the thread, behind the lines that are queued."""
        done = threading.Event()
        try:
            self.queue.put(_Close(file_name, done), block=wait, timeout=_FLUSH_TIMEOUT_S)
        except queue.Full:
            # Harmless for one file: it is closed as the least recently used, or with all the others.
            _log.warning("session log: the disk does not keep up")
            return
        if wait and not done.wait(_FLUSH_TIMEOUT_S):
            _log.warning("session log: lines are still unwritten after %.0f s", _FLUSH_TIMEOUT_S)

    def run(self) -> None:
        while True:
            item = self.queue.get()
            if isinstance(item, _Line):
                self._write(item)
                continue
            for name in [item.file_name] if item.file_name is not None else list(self._open):
                self._close(name)
            item.done.set()
            if item.file_name is None:
                return

    def _write(self, line: _Line) -> None:
        try:
            file = self._file(line.file_name)
            file.write(line.text)
            file.flush()
        except OSError as error:
            # Once: a full disk would repeat this with every line.
            if not self._failed:
                _log.warning("session log: cannot write to %s: %s", self._folder, error.strerror)
            self._failed = True
        else:
            self._failed = False

    def _file(self, name: str) -> IO[str]:
        file = self._open.get(name)
        if file is None:
            self._make_room(name)
            while len(self._open) >= MAX_OPEN_FILES:
                self._close(next(iter(self._open)))
            file = self._open[name] = (self._folder / name).open("a", encoding="utf-8")
        self._open.move_to_end(name)
        return file

    def _make_room(self, name: str) -> None:
        if self._kept is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            found = [(path.stat().st_mtime, path.name) for path in self._folder.glob("session-*.jsonl")]
            self._kept = OrderedDict((kept, None) for _, kept in sorted(found))
        self._kept[name] = None
        self._kept.move_to_end(name)
        while len(self._kept) > self._max_files:
            oldest, _ = self._kept.popitem(last=False)
            self._close(oldest)
            (self._folder / oldest).unlink(missing_ok=True)

    def _close(self, name: str) -> None:
        file = self._open.pop(name, None)
        if file is not None:
            try:
                file.close()
            except OSError as error:
                _log.warning("session log: closing %s failed: %s", name, error.strerror)


def _file_name(session_id: str) -> str:
    return f"session-{re.sub(r'[^A-Za-z0-9._-]', '_', session_id)[:_MAX_ID_CHARS]}.jsonl"


def _to_line(session_id: str, event: str, payload: Mapping[str, Any], ts: float) -> str:
    record = {"session_id": session_id, "event": event, "ts": _plain(ts, 0), "payload": _plain(payload, 0)}
    return json.dumps(record, allow_nan=False) + "\n"


def _plain(value: Any, depth: int) -> Any:
    """The value as bounded JSON: unknown objects and non-finite numbers become text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        # Beyond 64 bits few readers agree, and Python itself refuses to print very long ones.
        return int(value) if -(2**63) <= value < 2**64 else f"a number of {value.bit_length()} bits"
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return value[:MAX_TEXT_CHARS]
    if depth >= MAX_DEPTH:
        return f"<{type(value).__name__}>"
    if isinstance(value, Mapping):
        return {str(key)[:MAX_TEXT_CHARS]: _plain(item, depth + 1) for key, item in islice(value.items(), MAX_ITEMS)}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth + 1) for item in islice(value, MAX_ITEMS)]
    return f"<{type(value).__name__}>"
