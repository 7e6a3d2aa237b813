"""Blobs in S3-compatible object storage, for several servers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from obstore.exceptions import BaseError
from obstore.store import ObjectStore, S3Store

from fastvideo.entrypoints.streaming.blob_ids import is_blob_id, may_read, new_blob_id, owner_tag, tag_of
from fastvideo.entrypoints.streaming.blob_store import (
    DEFAULT_MAX_BLOB_BYTES,
    DEFAULT_MAX_BLOBS,
    DEFAULT_MAX_OWNER_BLOBS,
    DEFAULT_MAX_OWNER_BYTES,
    DEFAULT_TTL_S,
    BlobStore,
    Clock,
)
from fastvideo.entrypoints.streaming.store_bounds import MAX_BLOB_BYTES, BlobBounds
from fastvideo.entrypoints.streaming.store_errors import StoreUnavailable

logger = logging.getLogger(__name__)

_PATIENCE = timedelta(seconds=10)
_COUNT_EVERY_S = 60.0


class S3BlobStore(BlobStore):
    """Blobs as objects ``<owner's tag>/<id>``; thread-safe. ``clock`` gives seconds as ``time.time`` does.

    An object is whole or not there. Storage of this kind has no time to live of its own: a blob counts as expired by
    the time it was last modified, and what has expired is removed when blobs are counted, at most once a minute. The
    bounds of the whole store hold against that count and what this process added since; those of an owner are exact.
    """

    def __init__(
        self,
        objects: ObjectStore,
        *,
        ttl_s: float = DEFAULT_TTL_S,
        max_entries: int = DEFAULT_MAX_BLOBS,
        max_bytes: int = DEFAULT_MAX_BLOB_BYTES,
        max_owner_entries: int = DEFAULT_MAX_OWNER_BLOBS,
        max_owner_bytes: int = DEFAULT_MAX_OWNER_BYTES,
        clock: Clock = time.time,
    ) -> None:
        self._objects = objects
        self._ttl_s = ttl_s
        self._bounds = BlobBounds(max_entries, max_bytes, max_owner_entries, max_owner_bytes)
        self._clock = clock
        self._lock = threading.Lock()
        self._counted_at_s: float | None = None
        self._sizes: dict[str, int] = {}

    def put(self, data: bytes, *, mime: str = "application/octet-stream", owner: str | None = None) -> str:
        kept = bytes(data)
        self._bounds.check_size(len(kept))
        blob_id = new_blob_id(owner)
        with self._lock, object_storage():
            self._count()
            self._bounds.check_store(len(self._sizes), sum(self._sizes.values()), len(kept))
            self._sizes[blob_id] = len(kept)
        try:
            with object_storage():
                if owner is not None:
                    sizes = self._live(f"{owner_tag(owner)}/")
                    self._bounds.check_owner(len(sizes), sum(sizes.values()), len(kept))
                self._objects.put(_path(blob_id), kept, attributes={"Content-Type": mime}, use_multipart=False)
        except BaseException:
            self._uncount(blob_id)
            raise
        return blob_id

    def get(self, blob_id: str, *, owner: str | None = None) -> bytes:
        if not may_read(blob_id, owner):
            raise KeyError(blob_id)
        with object_storage():
            try:
                answer = self._objects.get(_path(blob_id))
            except FileNotFoundError:
                raise KeyError(blob_id) from None
            if answer.meta["last_modified"].timestamp() + self._ttl_s <= self._clock():
                raise KeyError(blob_id)
            if answer.meta["size"] > MAX_BLOB_BYTES:
                logger.error("blob %s has %d bytes, more than we ever write", blob_id, answer.meta["size"])
                raise KeyError(blob_id)
            return bytes(answer.bytes())

    def drop(self, blob_id: str) -> None:
        if is_blob_id(blob_id):
            self._remove([blob_id])

    def drop_owner(self, owner: str) -> None:
        with object_storage():
            names = [item["path"] for part in self._objects.list(f"{owner_tag(owner)}/") for item in part]
        self._remove([name for _, _, name in (path.rpartition("/") for path in names) if is_blob_id(name)])

    def __contains__(self, blob_id: object) -> bool:
        if not isinstance(blob_id, str) or not is_blob_id(blob_id):
            return False
        with object_storage():
            try:
                meta = self._objects.head(_path(blob_id))
            except FileNotFoundError:
                return False
            return meta["last_modified"].timestamp() + self._ttl_s > self._clock()

    def has(self, blob_id: object, *, owner: str | None = None) -> bool:
        return may_read(blob_id, owner) and blob_id in self

    def check(self) -> None:
        with object_storage():
            next(iter(self._objects.list(chunk_size=1)), None)

    def __len__(self) -> int:
        with object_storage():
            return len(self._live())

    @property
    def total_bytes(self) -> int:
        """Bytes held now."""
        with object_storage():
            return sum(self._live().values())

    def _live(self, prefix: str | None = None) -> dict[str, int]:
        """The size of each blob that has not expired, by id; removes those that have."""
        live, expired = {}, []
        for part in self._objects.list(prefix):
            for item in part:
                blob_id = item["path"].rpartition("/")[2]
                if not is_blob_id(blob_id):
                    continue
                if item["last_modified"].timestamp() + self._ttl_s > self._clock():
                    live[blob_id] = item["size"]
                else:
                    expired.append(_path(blob_id))
        if expired:
            self._objects.delete(expired)
        return live

    def _count(self) -> None:
        now_s = self._clock()
        if self._counted_at_s is None or not 0 <= now_s - self._counted_at_s < min(_COUNT_EVERY_S, self._ttl_s):
            self._sizes, self._counted_at_s = self._live(), now_s

    def _uncount(self, blob_id: str) -> None:
        with self._lock:
            self._sizes.pop(blob_id, None)

    def _remove(self, blob_ids: list[str]) -> None:
        with object_storage():
            for blob_id in blob_ids:
                try:
                    self._objects.delete(_path(blob_id))
                except FileNotFoundError:
                    continue
                finally:
                    self._uncount(blob_id)


def open_bucket(bucket: str, prefix: str) -> S3Store:
    """A bucket, or the part of it below ``prefix``; where it is and who we are come from the AWS_* variables."""
    return S3Store(
        bucket,
        prefix=prefix or None,
        client_options={"timeout": _PATIENCE, "connect_timeout": _PATIENCE, "allow_http": True},
        retry_config={"retry_timeout": _PATIENCE},
    )


def _path(blob_id: str) -> str:
    return f"{tag_of(blob_id)}/{blob_id}"


@contextmanager
def object_storage(*, gone_is_fault: bool = False) -> Iterator[None]:
    """What goes wrong with object storage, as StoreUnavailable; that there is no such object is FileNotFoundError,
    unless that is a fault too."""
    try:
        yield
    except FileNotFoundError as error:
        if not gone_is_fault:
            raise
        raise StoreUnavailable("expected an object that was there a moment ago, and found none") from error
    except (BaseError, OSError) as fault:
        raise StoreUnavailable(
            "expected the object storage to answer and to let us in, and it did not; check AWS_ENDPOINT and the keys"
        ) from fault
