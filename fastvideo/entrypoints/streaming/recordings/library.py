"""The folder of recordings: what is there, and what has to go."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
import threading
from pathlib import Path

from fastvideo.api.errors import ConfigValidationError
from fastvideo.entrypoints.streaming.recordings.recording_info import RecordingInfo, is_recording_id
from fastvideo.entrypoints.streaming.recordings.retention import Bounds, to_remove
from fastvideo.entrypoints.streaming.recordings.stored_recording import read_stored

logger = logging.getLogger(__name__)

_LOCK = ".lock"
_GONE = ".gone-"


class Library:
    """One folder per recording, named by its id. Any thread may look; one changes it.

    Raises ConfigValidationError when the folder cannot be used, or another server records into it.
    """

    def __init__(self, folder: Path, bounds: Bounds) -> None:
        self._folder = folder
        self._bounds = bounds
        self._infos: dict[str, RecordingInfo] = {}
        self._total_bytes = 0
        self._changing = threading.Lock()
        self._lock = _locked(folder)
        try:
            self._load()
        except OSError as fault:
            os.close(self._lock)
            raise _unusable(folder, fault) from fault

    def path(self, recording_id: str) -> Path:
        """Where a recording lies. ValueError for what is no id."""
        if not is_recording_id(recording_id):
            raise ValueError(f"expected an id of 32 hex digits, got {recording_id[:40]!r}")
        return self._folder / recording_id

    def get(self, recording_id: str) -> RecordingInfo | None:
        """What is known of it; None when it is not there, or nothing of it can be played yet."""
        with self._changing:
            return self._infos.get(recording_id)

    def newest(
        self, limit: int, after: str | None = None, after_started_at_s: float | None = None
    ) -> tuple[list[RecordingInfo], bool]:
        """At most so many, the newest first, from the one behind ``after`` on; and whether there are more.

        ``after_started_at_s``: when that one began, if it is another server's.
        """
        with self._changing:
            infos = sorted(self._infos.values(), key=_place, reverse=True)
            last = self._infos.get(after) if after is not None else None
        if after is not None:
            if last is not None:
                behind = _place(last)
            elif after_started_at_s is not None:
                behind = (round(after_started_at_s, 3), after)
            else:
                return [], False
            infos = [info for info in infos if _place(info) < behind]
        return infos[:limit], len(infos) > limit

    def put(self, info: RecordingInfo) -> None:
        """Note what a recording has become; one without media is not shown."""
        with self._changing:
            before = self._infos.pop(info.id, None)
            self._total_bytes -= before.total_bytes if before is not None else 0
            if info.media_bytes:
                self._infos[info.id] = info
                self._total_bytes += info.total_bytes

    def make_room(self, more_bytes: int, new: bool, *, now_s: float) -> bool:
        """Remove ended recordings, the oldest first, until so much more is within bounds; False when it is not."""
        with self._changing:
            infos, more = list(self._infos.values()), 1 if new else 0
            fits = self._fits(more_bytes, more)
        if fits:
            return True
        for recording_id in to_remove(infos, self._bounds, now_s=now_s, more_bytes=more_bytes, more_count=more):
            self.remove(recording_id)
        with self._changing:
            return self._fits(more_bytes, more)

    def sweep(self, *, now_s: float) -> None:
        """Remove what is too old, and what is beyond the bounds."""
        with self._changing:
            infos = list(self._infos.values())
        for recording_id in to_remove(infos, self._bounds, now_s=now_s):
            self.remove(recording_id)

    def remove(self, recording_id: str) -> None:
        """Remove a recording, all of it or nothing; harmless when it is not there."""
        with self._changing:
            info = self._infos.pop(recording_id, None)
            self._total_bytes -= info.total_bytes if info is not None else 0
        gone = self._folder / f"{_GONE}{secrets.token_hex(8)}"
        try:
            self.path(recording_id).rename(gone)
        except FileNotFoundError:
            return
        except OSError:
            logger.exception("a recording could not be removed")
            return
        shutil.rmtree(gone, ignore_errors=True)

    def close(self) -> None:
        """Let another server have the folder."""
        os.close(self._lock)

    def _fits(self, more_bytes: int, more_count: int) -> bool:
        bounds = self._bounds
        return self._total_bytes + more_bytes <= bounds.max_bytes and len(self._infos) + more_count <= bounds.max_count

    def _load(self) -> None:
        for path in list(self._folder.iterdir()):
            if path.name.startswith(_GONE):
                shutil.rmtree(path, ignore_errors=True)
            elif is_recording_id(path.name) and path.is_dir() and not path.is_symlink():
                info = read_stored(path, path.name)
                if info is None:
                    # Killed before its first fragment was whole.
                    self.remove(path.name)
                else:
                    self.put(info)


def _place(info: RecordingInfo) -> tuple[float, str]:
    # As exact as what clients are told.
    return round(info.started_at_s, 3), info.id


def _locked(folder: Path) -> int:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise _unusable(folder, fault) from fault
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        os.close(lock)
        if isinstance(fault, BlockingIOError):
            raise ConfigValidationError(
                "streaming.recordings.dir", f"another server records into {folder}; give each a folder of its own"
            ) from fault
        raise _unusable(folder, fault) from fault
    return lock


def _unusable(folder: Path, fault: OSError) -> ConfigValidationError:
    return ConfigValidationError(
        "streaming.recordings.dir", f"expected a folder at {folder} that can be read and written, got {fault.strerror}"
    )
