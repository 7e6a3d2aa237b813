"""What tests of several entry points share: a real Redis, and the folder of tiny checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.redis_server import RedisServer


@pytest.fixture(scope="session")
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all files, since a tiny checkpoint takes longer to make than most tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def cache(cache_home: Path) -> Iterator[None]:
    """Caches lie in a folder of the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache_home))
        yield


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    """One for all tests of a file, since other files count processes; each test has its prefix, and none stops it."""
    with RedisServer() as server:
        yield server
