from __future__ import annotations

import pytest

from fastvideo.entrypoints.streaming.blob_cache import CachedBlobStore
from fastvideo.entrypoints.streaming.blob_store import InMemoryBlobStore


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class CountingStore(InMemoryBlobStore):
    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def get(self, blob_id: str, *, owner: str | None = None) -> bytes:
        self.reads += 1
        return super().get(blob_id, owner=owner)


def test_what_was_put_here_is_not_fetched() -> None:
    store = CountingStore()
    here, elsewhere = CachedBlobStore(store), CachedBlobStore(store)
    blob_id = here.put(b"frames", owner="a")
    assert here.get(blob_id, owner="a") == b"frames"
    assert store.reads == 0
    assert elsewhere.get(blob_id, owner="a") == b"frames"
    assert store.reads == 1


def test_copies_are_bounded_and_the_oldest_go_first() -> None:
    store = CountingStore()
    cached = CachedBlobStore(store, max_bytes=20)
    first, second, third = (cached.put(bytes([number]) * 8) for number in range(3))
    assert cached.cached_bytes == 16
    assert [cached.get(blob_id)[0] for blob_id in (first, second, third)] == [0, 1, 2]
    assert store.reads == 1
    cached.put(b"x" * 21)
    assert cached.cached_bytes == 0


def test_copies_expire_and_are_dropped_with_their_blobs() -> None:
    clock = Clock()
    cached = CachedBlobStore(InMemoryBlobStore(), ttl_s=10, clock=clock)
    kept, gone = cached.put(b"1", owner="a"), cached.put(b"22", owner="a")
    cached.drop(gone)
    assert gone not in cached
    assert cached.cached_bytes == 1
    other = cached.put(b"333", owner="b")
    cached.drop_owner("b")
    assert other not in cached
    assert cached.cached_bytes == 1
    clock.now_s += 10
    assert cached.cached_bytes == 0
    assert cached.get(kept, owner="a") == b"1"


def test_a_copy_is_only_for_its_owner() -> None:
    cached = CachedBlobStore(InMemoryBlobStore())
    blob_id = cached.put(b"secret", owner="a")
    with pytest.raises(KeyError):
        cached.get(blob_id, owner="b")
    assert not cached.has(blob_id, owner="b")
