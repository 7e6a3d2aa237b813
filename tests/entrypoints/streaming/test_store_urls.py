from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.redis_server import RedisServer
from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.streaming.blob_store import InMemoryBlobStore
from fastvideo.entrypoints.streaming.session_store import InMemorySessionStore
from fastvideo.entrypoints.streaming.store_errors import StoreFull, StoreUnavailable
from fastvideo.entrypoints.streaming.store_urls import open_blobs, open_sessions, open_stores

STATE = ContinuationState("ltx2.v1", {"segment_index": 3})


@pytest.fixture
def opened() -> Iterator[Any]:
    made: list[Any] = []

    def open_(*urls: str, **bounds: Any) -> Any:
        made.append(open_stores(*urls, **bounds))
        return made[-1]

    yield open_
    for stores in made:
        stores.close()


def test_without_urls_stores_are_in_memory(opened: Any) -> None:
    stores = opened()
    assert isinstance(stores.sessions, InMemorySessionStore)
    assert isinstance(stores.blobs, InMemoryBlobStore)


@pytest.mark.parametrize("form", ["file:{}", "file://{}", "file://localhost{}"])
def test_a_folder_may_hold_both_and_servers_share_it(opened: Any, tmp_path: Path, form: str) -> None:
    url = form.format(tmp_path / "a" / "b")
    one, other = opened(url, url), opened(url, url)
    one.sessions.store("a", STATE)
    blob_id = one.blobs.put(b"frames", owner="a")
    assert other.sessions.snapshot("a") == STATE
    assert other.blobs.get(blob_id, owner="a") == b"frames"
    assert (tmp_path / "a" / "b" / "sessions").stat().st_mode & 0o077 == 0


def test_a_folder_may_be_relative_and_have_any_name(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    opened("file:a%20b", "memory:")
    assert (tmp_path / "a b" / "sessions").is_dir()


def test_a_redis_may_hold_both_and_deployments_may_share_it_by_prefix(opened: Any, redis_server: RedisServer) -> None:
    url = redis_server.url
    one, other, stranger = (
        opened(u, u) for u in (f"{url}?prefix=urls-1", f"{url}?prefix=urls-1", f"{url}?prefix=urls-2")
    )
    one.sessions.store("a", STATE)
    blob_id = one.blobs.put(b"frames", owner="a")
    assert other.sessions.snapshot("a") == STATE
    assert other.blobs.get(blob_id, owner="a") == b"frames"
    assert stranger.sessions.snapshot("a") is None
    assert blob_id not in stranger.blobs


def test_bounds_reach_the_stores(opened: Any, tmp_path: Path) -> None:
    stores = opened(f"file:{tmp_path}", f"file:{tmp_path}", max_state_bytes=20, max_blob_bytes=20)
    with pytest.raises(StoreFull):
        stores.sessions.store("a", STATE)
    with pytest.raises(StoreFull):
        stores.blobs.put(b"x" * 21)


@pytest.mark.parametrize(
    "url",
    [
        *("", "memory", "memory:/x", "file:", "file://elsewhere/x", "file:/x?a=b", "ftp://x/y", "redis:", "/a/folder"),
        *("redis://h/db", "redis://h:99999/0", "redis://h/0?socket_timeout=1", "redis://h/0?prefix=a:b", "redis://[/0"),
    ],
)
def test_a_url_that_is_none_of_ours_is_refused_with_its_path(url: str) -> None:
    with pytest.raises(ConfigValidationError, match=r"^streaming.stores.sessions: expected .*, got ") as caught:
        open_sessions(url)
    assert caught.value.path == "streaming.stores.sessions"
    with pytest.raises(ConfigValidationError, match=r"^streaming.stores.blobs: expected .*, got "):
        open_blobs(url)


@pytest.mark.parametrize("url", ["s3:", "s3:///prefix", "s3://key:secret@bucket/prefix", "s3://bucket/prefix?a=b"])
def test_a_bucket_needs_a_name_and_takes_no_keys(url: str) -> None:
    with pytest.raises(ConfigValidationError, match=r"^streaming.stores.blobs: expected") as caught:
        open_blobs(url)
    assert "secret" not in str(caught.value)


def test_states_do_not_go_to_a_bucket() -> None:
    with pytest.raises(ConfigValidationError, match="expected memory:, file:/folder or redis"):
        open_sessions("s3://bucket/prefix")


def test_a_password_never_shows_in_an_error() -> None:
    for url in ("redis://me:secret@/x", "redis://me:secret@h:1/0?x=1", "rediss://me:secret@h:port/0"):
        with pytest.raises(ConfigValidationError) as caught:
            open_sessions(url)
        assert "secret" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_an_error_when_it_is_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnavailable, match="expected a folder at"):
        open_sessions(f"file:{tmp_path}/file")


@pytest.mark.parametrize(
    ("module", "name", "url"),
    [
        ("redis.asyncio", "redis", "redis://127.0.0.1:1/0"),
        ("obstore.store", "s3", "s3://bucket"),
    ],
)
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, module: str, name: str, url: str) -> None:
    package = importlib.import_module("fastvideo.entrypoints.streaming")
    for ours in ("redis_link", "redis_blobs", "redis_sessions", "s3_blobs"):
        monkeypatch.delitem(sys.modules, f"{package.__name__}.{ours}", raising=False)
        monkeypatch.delattr(package, ours, raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigValidationError, match=rf"pip install 'fastvideo\[{name}\]'"):
        open_blobs(url)
