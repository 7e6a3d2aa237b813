"""What tests of several entry points share: a real Redis, a bucket, and the folder of tiny checkpoints."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A ``FakeS3`` on this machine, where the AWS_* variables say."""
    path = Path(__file__).parent / "streaming" / "fake_s3.py"
    spec = importlib.util.spec_from_file_location("fake_s3", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    fake = module.FakeS3(time.time)
    for name, value in {
        "AWS_ENDPOINT": fake.endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    yield fake
    fake.close()
