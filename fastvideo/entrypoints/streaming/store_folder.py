"""Files of one folder that threads and processes of one machine share, each written whole or not at all.

A file is written under a temporary name beside its place, flushed to the disk, renamed, and its folder flushed. Its
modification time is when it expires. Who changes what is there holds the folder's lock; who reads needs none. A writer
locks its temporary file, so that others can tell one that is being written from one whose writer was killed.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fastvideo.entrypoints.streaming.blob_store import Clock
from fastvideo.entrypoints.streaming.store_errors import StoreFull, StoreUnavailable
from fastvideo.entrypoints.streaming.store_record import (
    HEAD_BYTES,
    RecordDamaged,
    check_body,
    check_head,
    record_head,
)

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[0-9A-Za-z_-]{1,240}\.[a-z]{1,8}")
_LOCK = ".lock"
_NEW = ".new-"
_WRITE_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A live file: the length of its body, and when it expires, in seconds since the epoch."""

    size_bytes: int
    expires_at_s: float


class PreparedFile:
    """A body that is on the disk, and not yet in its place."""

    def __init__(self, folder: Path, fd: int, temporary: str) -> None:
        self._folder = folder
        self._fd = fd
        self._temporary = temporary

    def commit(self, name: str) -> None:
        """Put it at ``name``, over what is there; the folder's lock must be held."""
        os.replace(self._folder / self._temporary, self._folder / _checked(name))
        _flush_folder(self._folder)


class StoreFolder:
    """One folder of records, made when it is not there; only its owner can look into it. ``clock``: as ``time.time``.

    Methods raise StoreFull when the disk is full, and StoreUnavailable for its other faults.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        with _disk(path):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(self._open_lock())

    @contextmanager
    def prepared(self, body: bytes, *, ttl_s: float) -> Iterator[PreparedFile]:
        """Write a body beside its place; it is gone again after the block unless it was committed."""
        with _disk(self._path):
            fd, temporary = self._new_file()
        try:
            with _disk(self._path):
                for part in (record_head(body), body):
                    _write(fd, part)
                expires_ns = int((self._clock() + ttl_s) * 1e9)
                os.utime(fd, ns=(expires_ns, expires_ns))
                os.fsync(fd)
            yield PreparedFile(self._path, fd, temporary)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(self._path / temporary)
            os.close(fd)

    @contextmanager
    def changing(self) -> Iterator[dict[str, StoredFile]]:
        """Hold the folder's lock. Gives the live files, after removing those that expired or were never finished."""
        with _disk(self._path):
            lock = self._open_lock()
        try:
            with _disk(self._path):
                fcntl.flock(lock, fcntl.LOCK_EX)
                live = self._swept()
            with _disk(self._path):
                yield live
        finally:
            os.close(lock)

    def read(self, name: str, max_bytes: int) -> bytes | None:
        """A body of at most ``max_bytes``; None when there is none, it expired, or it is damaged (which is logged)."""
        with _disk(self._path):
            try:
                fd = os.open(self._path / _checked(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
            with open(fd, "rb") as file:
                status = os.fstat(fd)
                if status.st_mtime <= self._clock():
                    return None
                try:
                    head = file.read(HEAD_BYTES)
                    body = file.read(check_head(head, status.st_size, max_bytes))
                    check_body(head, body)
                except RecordDamaged as fault:
                    logger.error("%s in %s is damaged, and taken to be lost: %s", name, self._path, fault)
                    return None
                return body

    def remove(self, name: str) -> None:
        """Remove a file, if it is there; the folder's lock must be held."""
        with suppress(FileNotFoundError):
            os.unlink(self._path / _checked(name))

    def has(self, name: str) -> bool:
        """Whether there is such a file that has not expired."""
        with _disk(self._path), suppress(FileNotFoundError):
            return os.stat(self._path / _checked(name), follow_symlinks=False).st_mtime > self._clock()
        return False

    def live(self) -> dict[str, StoredFile]:
        """The files that have not expired, by name."""
        with _disk(self._path):
            now_s = self._clock()
            return {name: file for name, file in self._files() if file.expires_at_s > now_s}

    def _files(self) -> Iterator[tuple[str, StoredFile]]:
        with os.scandir(self._path) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    yield entry.name, StoredFile(max(0, status.st_size - HEAD_BYTES), status.st_mtime)

    def _swept(self) -> dict[str, StoredFile]:
        for path in self._path.glob(f"{_NEW}*"):
            _remove_unless_locked(path)
        now_s, live = self._clock(), {}
        for name, file in list(self._files()):
            if file.expires_at_s > now_s:
                live[name] = file
            elif _NAME.fullmatch(name):
                self.remove(name)
        return live

    def _new_file(self) -> tuple[int, str]:
        while True:
            temporary = f"{_NEW}{secrets.token_hex(8)}"
            fd = os.open(self._path / temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink:
                return fd, temporary
            # Somebody swept it away before it was locked.
            os.close(fd)

    def _open_lock(self) -> int:
        return os.open(self._path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"expected the name of a stored file, got {name!r}")
    return name


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest[:_WRITE_BYTES]) :]


def _flush_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove_unless_locked(path: Path) -> None:
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    except (BlockingIOError, FileNotFoundError):
        # It is being written, or was put into its place since.
        return
    finally:
        os.close(fd)


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        if fault.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(f"expected room on the disk of {path}, found none; free some") from fault
        raise StoreUnavailable(
            f"expected a folder at {path} that can be read and written, got {fault.strerror}; check it and its disk"
        ) from fault
