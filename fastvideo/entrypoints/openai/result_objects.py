"""Finished files of jobs in S3-compatible object storage, each as the object ``<job's id>/<file's name>``."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path

from obstore.store import ObjectStore

from fastvideo.entrypoints.openai.job import is_job_id
from fastvideo.entrypoints.streaming.s3_blobs import object_storage

_MEDIA_TYPES = {".mp4": "video/mp4", ".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}
# What is read from start to end is asked for in few pieces, and what is only looked into in small ones.
_MAX_AHEAD_BYTES = 4 << 20


class ResultObjects:
    """Thread-safe; an object is whole or not there. ``ttl_s``: when what nobody knows of any more may go; ``clock``
    gives seconds as ``time.time`` does. Methods raise StoreUnavailable."""

    def __init__(self, objects: ObjectStore, *, ttl_s: float, clock: Callable[[], float] = time.time) -> None:
        self._objects = objects
        self._ttl_s = ttl_s
        self._clock = clock

    def check(self) -> None:
        """Ask for something."""
        with object_storage():
            next(iter(self._objects.list(chunk_size=1)), None)

    def put(self, job_id: str, file: Path) -> None:
        """Keep a copy of a file. Raises OSError when the file cannot be read."""
        with file.open("rb") as data, object_storage():
            kind = _MEDIA_TYPES.get(file.suffix, "application/octet-stream")
            self._objects.put(f"{job_id}/{file.name}", data, attributes={"Content-Type": kind})

    def open(self, job_id: str, name: str) -> ObjectFile | None:
        """A file to be read; None when there is none."""
        path = f"{job_id}/{name}"
        with object_storage():
            try:
                meta = self._objects.head(path)
            except FileNotFoundError:
                return None
        return ObjectFile(self._objects, path, meta["size"])

    def remove(self, job_id: str) -> None:
        """Every file of a job."""
        self._delete([path for path, _ in self._listed(f"{job_id}/")])

    def sweep(self, known: Collection[str]) -> None:
        """Remove what is past its time of jobs that are not known; what others put into the bucket is left alone."""
        now_s = self._clock()
        found = ((path, path.partition("/")[0], changed_s) for path, changed_s in self._listed(None))
        self._delete(
            [
                path
                for path, job_id, changed_s in found
                if is_job_id(job_id) and job_id not in known and changed_s + self._ttl_s <= now_s
            ]
        )

    def _listed(self, prefix: str | None) -> list[tuple[str, float]]:
        with object_storage():
            return [
                (item["path"], item["last_modified"].timestamp())
                for part in self._objects.list(prefix)
                for item in part
            ]

    def _delete(self, paths: list[str]) -> None:
        if paths:
            with object_storage():
                self._objects.delete(paths)


class ObjectFile:
    """An object of ``size`` bytes, to be read by one thread at a time. Reading on from where the last one ended fetches
    more and more at once, up to a bound."""

    def __init__(self, objects: ObjectStore, path: str, size: int) -> None:
        self.size = size
        self._objects = objects
        self._path = path
        self._at = 0
        self._fetched = b""

    def read(self, at: int, count: int) -> bytes:
        """At most so many bytes from there on; blocking. Raises StoreUnavailable, also for an object that is gone."""
        count = min(count, self.size - at)
        if count <= 0:
            return b""
        end = self._at + len(self._fetched)
        if not self._at <= at < end:
            ahead = min(2 * len(self._fetched), _MAX_AHEAD_BYTES) if at == end else 0
            length = min(max(count, ahead), self.size - at)
            with object_storage(gone_is_fault=True):
                self._fetched = bytes(self._objects.get_range(self._path, start=at, length=length))
            self._at = at
        skip = at - self._at
        return self._fetched[skip : skip + count]

    def close(self) -> None:
        """Let go of what was fetched."""
        self._fetched = b""
