"""What tests of several entry points share: a real Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.redis_server import RedisServer


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    """One for all tests of a file, since other files count processes; each test has its prefix, and none stops it."""
    with RedisServer() as server:
        yield server
