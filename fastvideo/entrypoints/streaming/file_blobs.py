"""Blobs as files of one folder."""

from __future__ import annotations

import time
from pathlib import Path

from fastvideo.entrypoints.streaming.blob_ids import is_blob_id, may_read, new_blob_id, owner_tag
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
from fastvideo.entrypoints.streaming.store_folder import StoredFile, StoreFolder

_SUFFIX = ".blob"


class FileBlobStore(BlobStore):
    """Blobs in ``folder``; safe with several threads and processes, and against being killed at any moment.

    Raises StoreUnavailable when the folder cannot be used. ``clock`` gives seconds as ``time.time`` does.
    """

    def __init__(
        self,
        folder: Path,
        *,
        ttl_s: float = DEFAULT_TTL_S,
        max_entries: int = DEFAULT_MAX_BLOBS,
        max_bytes: int = DEFAULT_MAX_BLOB_BYTES,
        max_owner_entries: int = DEFAULT_MAX_OWNER_BLOBS,
        max_owner_bytes: int = DEFAULT_MAX_OWNER_BYTES,
        clock: Clock = time.time,
    ) -> None:
        self._folder = StoreFolder(folder, clock)
        self._ttl_s = ttl_s
        self._bounds = BlobBounds(max_entries, max_bytes, max_owner_entries, max_owner_bytes)

    def put(self, data: bytes, *, mime: str = "application/octet-stream", owner: str | None = None) -> str:
        kept = bytes(data)
        self._bounds.check_size(len(kept))
        blob_id = new_blob_id(owner)
        with self._folder.prepared(kept, ttl_s=self._ttl_s) as file, self._folder.changing() as live:
            self._bounds.check(_sizes(live), owner, len(kept))
            file.commit(blob_id + _SUFFIX)
        return blob_id

    def get(self, blob_id: str, *, owner: str | None = None) -> bytes:
        data = self._folder.read(blob_id + _SUFFIX, MAX_BLOB_BYTES) if may_read(blob_id, owner) else None
        if data is None:
            raise KeyError(blob_id)
        return data

    def drop(self, blob_id: str) -> None:
        if is_blob_id(blob_id):
            with self._folder.changing():
                self._folder.remove(blob_id + _SUFFIX)

    def drop_owner(self, owner: str) -> None:
        tag = owner_tag(owner)
        with self._folder.changing() as live:
            for name in live:
                if name.startswith(f"{tag}-"):
                    self._folder.remove(name)

    def __contains__(self, blob_id: object) -> bool:
        return is_blob_id(blob_id) and self._folder.has(f"{blob_id}{_SUFFIX}")

    def has(self, blob_id: object, *, owner: str | None = None) -> bool:
        return may_read(blob_id, owner) and blob_id in self

    def check(self) -> None:
        self._folder.live()

    def __len__(self) -> int:
        return len(_sizes(self._folder.live()))

    @property
    def total_bytes(self) -> int:
        """Bytes held now."""
        return sum(_sizes(self._folder.live()).values())


def _sizes(files: dict[str, StoredFile]) -> dict[str, int]:
    return {name: file.size_bytes for name, file in files.items() if name.endswith(_SUFFIX)}
