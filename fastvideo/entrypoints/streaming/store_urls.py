"""Stores by URL: ``memory:``, ``file:/folder``, ``redis://host:port/db``, ``s3://bucket/prefix``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from fastvideo.api.errors import ConfigValidationError
from fastvideo.entrypoints.streaming.blob_cache import CachedBlobStore
from fastvideo.entrypoints.streaming.blob_store import (
    DEFAULT_MAX_BLOB_BYTES,
    DEFAULT_TTL_S,
    BlobStore,
    InMemoryBlobStore,
)
from fastvideo.entrypoints.streaming.session_store import (
    DEFAULT_MAX_STATE_BYTES,
    InMemorySessionStore,
    LeasingSessionStore,
)

SESSIONS_PATH = "streaming.stores.sessions"
BLOBS_PATH = "streaming.stores.blobs"
_PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Stores:
    """The two stores of a server."""

    sessions: LeasingSessionStore
    blobs: BlobStore

    def close(self) -> None:
        """Let go of connections and threads; what is stored stays."""
        self.sessions.close()
        self.blobs.close()


def open_stores(
    sessions_url: str = "memory:",
    blobs_url: str = "memory:",
    *,
    ttl_s: float = DEFAULT_TTL_S,
    max_state_bytes: int = DEFAULT_MAX_STATE_BYTES,
    max_blob_bytes: int = DEFAULT_MAX_BLOB_BYTES,
) -> Stores:
    """Open both stores and ask each for something, so that what is wrong shows now.

    May wait for a disk or a network. Raises ConfigValidationError for a URL or a missing package, StoreUnavailable for
    a store that does not answer.
    """
    sessions = open_sessions(sessions_url, ttl_s=ttl_s, max_bytes=max_state_bytes)
    try:
        return Stores(sessions, open_blobs(blobs_url, ttl_s=ttl_s, max_bytes=max_blob_bytes))
    except BaseException:
        sessions.close()
        raise


def open_sessions(
    url: str,
    *,
    ttl_s: float = DEFAULT_TTL_S,
    max_bytes: int = DEFAULT_MAX_STATE_BYTES,
    name: str = "sessions",
    path: str = SESSIONS_PATH,
) -> LeasingSessionStore:
    """A store of states, as :func:`open_stores` opens it; ``name`` keeps it apart from others at the same URL, and
    ``path`` is the setting that errors name."""
    parts = _split(url, path)
    match parts.scheme:
        case "memory":
            return InMemorySessionStore(ttl_s=ttl_s, max_bytes=max_bytes)
        case "file":
            from fastvideo.entrypoints.streaming.file_sessions import FileSessionStore

            folder = _folder(parts, path) / name
            return _checked(FileSessionStore(folder, ttl_s=ttl_s, max_bytes=max_bytes))
        case "redis" | "rediss":
            address, prefix = _redis(parts, path)
            if name != "sessions":
                prefix = f"{prefix}:{name}"
            try:
                from fastvideo.entrypoints.streaming.redis_sessions import RedisSessionStore
            except ModuleNotFoundError:
                raise missing_extra(path, "redis") from None
            return _checked(RedisSessionStore(address, prefix=prefix, ttl_s=ttl_s, max_bytes=max_bytes))
        case _:
            raise _unknown(path, url, "memory:, file:/folder or redis://host:port/db")


def open_blobs(url: str, *, ttl_s: float = DEFAULT_TTL_S, max_bytes: int = DEFAULT_MAX_BLOB_BYTES) -> BlobStore:
    """A store of blobs, as :func:`open_stores` opens it; one that is across a network has a cache before it."""
    parts = _split(url, BLOBS_PATH)
    match parts.scheme:
        case "memory":
            return InMemoryBlobStore(ttl_s=ttl_s, max_bytes=max_bytes)
        case "file":
            from fastvideo.entrypoints.streaming.file_blobs import FileBlobStore

            folder = _folder(parts, BLOBS_PATH) / "blobs"
            return _checked(FileBlobStore(folder, ttl_s=ttl_s, max_bytes=max_bytes))
        case "redis" | "rediss":
            address, prefix = _redis(parts, BLOBS_PATH)
            try:
                from fastvideo.entrypoints.streaming.redis_blobs import RedisBlobStore
            except ModuleNotFoundError:
                raise missing_extra(BLOBS_PATH, "redis") from None
            remote = RedisBlobStore(address, prefix=prefix, ttl_s=ttl_s, max_bytes=max_bytes)
            return _checked(CachedBlobStore(remote, ttl_s=ttl_s))
        case "s3":
            try:
                from fastvideo.entrypoints.streaming.s3_blobs import S3BlobStore, open_bucket
            except ModuleNotFoundError:
                raise missing_extra(BLOBS_PATH, "s3") from None
            objects = S3BlobStore(open_bucket(*bucket_of(url, BLOBS_PATH)), ttl_s=ttl_s, max_bytes=max_bytes)
            return _checked(CachedBlobStore(objects, ttl_s=ttl_s))
        case _:
            raise _unknown(BLOBS_PATH, url, "memory:, file:/folder, redis://host:port/db or s3://bucket/prefix")


def check_store_url(url: str, path: str) -> None:
    """Raise ConfigValidationError, at :data:`SESSIONS_PATH` or :data:`BLOBS_PATH`, for a URL that cannot be that of
    such a store; nothing is opened."""
    parts = _split(url, path)
    if parts.scheme == "file":
        _folder(parts, path)
    elif parts.scheme in ("redis", "rediss"):
        _redis(parts, path)
    elif parts.scheme == "s3" and path == BLOBS_PATH:
        bucket_of(url, path)
    elif parts.scheme != "memory":
        raise _unknown(path, url, "memory:, file:/folder, redis://host:port/db, or s3://bucket/prefix for blobs")


def bucket_of(url: str, path: str) -> tuple[str, str]:
    """Bucket and prefix of ``s3://bucket/prefix``. Raises ConfigValidationError, which names the setting ``path``."""
    parts = _split(url, path)
    if not parts.netloc or "@" in parts.netloc:
        raise ConfigValidationError(
            path, "expected s3://bucket/prefix, with keys in the AWS_* variables, got something else"
        )
    return parts.netloc, parts.path.strip("/")


def _split(url: str, path: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ConfigValidationError(path, "expected a URL, got something that is none") from None
    if parts.query and parts.scheme not in ("redis", "rediss"):
        raise ConfigValidationError(path, f"expected no query in a {parts.scheme}: URL, got ?{parts.query}")
    if parts.scheme == "memory" and url != "memory:":
        raise ConfigValidationError(path, f"expected memory: alone, got {url!r}")
    return parts


def _folder(parts: SplitResult, path: str) -> Path:
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise ConfigValidationError(path, f"expected file:/folder on this machine, got {parts.geturl()!r}")
    return Path(unquote(parts.path))


def _redis(parts: SplitResult, path: str) -> tuple[str, str]:
    """The URL without our own part of it, and the prefix of all keys."""
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    prefix = query.pop("prefix", "fastvideo")
    if query or not _PREFIX.fullmatch(prefix):
        raise ConfigValidationError(
            path, "expected at most ?prefix= with letters, digits, dots and dashes in a redis: URL, got something else"
        )
    if not parts.hostname or not re.fullmatch(r"/?|/\d+", parts.path):
        raise ConfigValidationError(path, "expected redis://host:port/db with a number as db, got something else")
    return parts._replace(query="").geturl(), prefix


def missing_extra(path: str, extra: str) -> ConfigValidationError:
    """What to raise for packages of an extra that are not installed."""
    return ConfigValidationError(
        path, f"expected the packages of the extra {extra!r}, which are not installed; pip install 'fastvideo[{extra}]'"
    )


def _unknown(path: str, url: str, expected: str) -> ConfigValidationError:
    scheme = url.partition(":")[0][:20]
    return ConfigValidationError(path, f"expected {expected}, got a URL of scheme {scheme!r}")


_AnyStore = TypeVar("_AnyStore", LeasingSessionStore, BlobStore)


def _checked(store: _AnyStore) -> _AnyStore:
    try:
        store.check()
    except BaseException:
        store.close()
        raise
    return store
