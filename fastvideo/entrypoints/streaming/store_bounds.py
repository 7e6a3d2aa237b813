"""How much a store of blobs may hold, in all and of one owner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastvideo.entrypoints.streaming.blob_ids import owner_tag, tag_of
from fastvideo.entrypoints.streaming.store_errors import StoreFull

# The largest part of a state (256 MiB of encoded frames) and what packs it.
MAX_BLOB_BYTES = 257 << 20


@dataclass(frozen=True, slots=True)
class BlobBounds:
    """Most entries and bytes of a store, and of each owner in it. Blobs without an owner only count for the store."""

    max_entries: int
    max_bytes: int
    max_owner_entries: int
    max_owner_bytes: int

    def check_size(self, size_bytes: int) -> None:
        """Raises StoreFull for a blob that is too large for any store."""
        if size_bytes > MAX_BLOB_BYTES:
            raise StoreFull(f"expected a blob of at most {MAX_BLOB_BYTES} bytes, got {size_bytes}; make it smaller")

    def check(self, live: Mapping[str, int], owner: str | None, size_bytes: int) -> None:
        """Raises StoreFull unless one more blob fits beside ``live``, which gives each id's size in bytes."""
        self.check_store(len(live), sum(live.values()), size_bytes)
        if owner is not None:
            tag = owner_tag(owner)
            sizes = [size for blob_id, size in live.items() if tag_of(blob_id) == tag]
            self.check_owner(len(sizes), sum(sizes), size_bytes)

    def check_store(self, entries: int, total_bytes: int, size_bytes: int) -> None:
        """The part of :meth:`check` that is about the whole store."""
        if entries >= self.max_entries or total_bytes + size_bytes > self.max_bytes:
            raise StoreFull(
                f"expected at most {self.max_entries} blobs and {self.max_bytes} bytes, found {entries}"
                f" and {total_bytes} with {size_bytes} more to keep; end sessions or raise the bound"
            )

    def check_owner(self, entries: int, total_bytes: int, size_bytes: int) -> None:
        """The part of :meth:`check` that is about one owner."""
        if entries >= self.max_owner_entries or total_bytes + size_bytes > self.max_owner_bytes:
            raise StoreFull(
                f"expected at most {self.max_owner_entries} blobs and {self.max_owner_bytes} bytes of one session,"
                f" found {entries} and {total_bytes} with {size_bytes} more to keep; drop what it no longer needs"
            )
