"""What only blobs in object storage promise."""

from __future__ import annotations

from typing import Any

import pytest

from fastvideo.entrypoints.streaming import s3_blobs
from fastvideo.entrypoints.streaming.s3_blobs import S3BlobStore, open_bucket
from fastvideo.entrypoints.streaming.store_errors import StoreFull, StoreUnavailable
from fastvideo.entrypoints.streaming.store_urls import open_blobs


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def s3(clock: Clock, s3_server: Any) -> Any:
    s3_server.clock = clock
    return s3_server


def test_a_bucket_is_found_by_the_variables_that_other_tools_read(s3: Any, clock: Clock) -> None:
    store = S3BlobStore(open_bucket(s3.bucket, "a/b"), clock=clock)
    blob_id = store.put(b"frames", mime="application/x-test", owner="me")
    assert store.get(blob_id, owner="me") == b"frames"
    ((key, (data, mime, _)),) = s3.objects.items()
    assert key == f"a/b/{blob_id.partition('-')[0]}/{blob_id}"
    assert (data, mime) == (b"frames", "application/x-test")


def test_a_url_opens_a_bucket_with_a_cache_before_it(s3: Any, clock: Clock) -> None:
    s3.clock = lambda: clock.now_s
    store = open_blobs(f"s3://{s3.bucket}/films/")
    blob_id = store.put(b"frames", owner="me")
    assert len(s3.objects) == 1
    s3.objects.clear()
    assert store.get(blob_id, owner="me") == b"frames"


def test_storage_that_refuses_is_an_error_with_a_sentence(s3: Any) -> None:
    s3.broken = True
    with pytest.raises(StoreUnavailable, match="check AWS_ENDPOINT and the keys"):
        open_blobs(f"s3://{s3.bucket}")
    store = S3BlobStore(open_bucket(s3.bucket, ""))
    for call in (lambda: store.put(b"x"), lambda: store.get("0" * 32 + "-" + "x" * 32), lambda: len(store)):
        with pytest.raises(StoreUnavailable):
            call()


def test_a_put_that_failed_leaves_its_room(s3: Any, clock: Clock) -> None:
    store = S3BlobStore(open_bucket(s3.bucket, ""), max_entries=1, clock=clock)
    assert len(store) == 0
    with pytest.raises(StoreFull):
        S3BlobStore(open_bucket(s3.bucket, ""), max_owner_entries=0, clock=clock).put(b"x", owner="a")
    s3.broken = True
    with pytest.raises(StoreUnavailable):
        store.put(b"x")
    s3.broken = False
    store.put(b"x")


def test_what_others_put_counts_after_a_minute(s3: Any, clock: Clock) -> None:
    one, other = (S3BlobStore(open_bucket(s3.bucket, ""), max_entries=2, clock=clock) for _ in range(2))
    one.put(b"1")
    other.put(b"2")
    one.put(b"3")
    clock.now_s += 60
    with pytest.raises(StoreFull):
        one.put(b"4")


def test_what_expired_is_removed_when_blobs_are_counted(s3: Any, clock: Clock) -> None:
    store = S3BlobStore(open_bucket(s3.bucket, ""), ttl_s=100, clock=clock)
    store.put(b"1")
    clock.now_s += 100
    store.put(b"2")
    assert [data for data, _, _ in s3.objects.values()] == [b"2"]


def test_objects_of_others_in_the_bucket_are_left_alone(s3: Any, clock: Clock) -> None:
    s3.objects["index.html"] = (b"x", "text/html", 0.0)
    store = S3BlobStore(open_bucket(s3.bucket, ""), ttl_s=100, max_entries=1, clock=clock)
    store.put(b"1", owner="a")
    store.drop_owner("a")
    assert len(store) == 0
    assert list(s3.objects) == ["index.html"]


def test_an_object_larger_than_any_blob_is_not_read(
    s3: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = S3BlobStore(open_bucket(s3.bucket, ""), clock=clock)
    blob_id = store.put(b"x" * 11)
    monkeypatch.setattr(s3_blobs, "MAX_BLOB_BYTES", 10)
    with pytest.raises(KeyError):
        store.get(blob_id)
    assert "more than we ever write" in caplog.text
