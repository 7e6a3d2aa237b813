"""A writer that is killed at any moment leaves nothing half-written; the long form is `benchmarks.store_kills`."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.redis_server import RedisServer
from benchmarks.store_kills import kill_at_random, kill_before_each_step

KILLS = int(os.environ.get("FASTVIDEO_STORE_KILLS", "20"))


def test_files_are_whole_after_kills_at_random_moments(tmp_path: Path) -> None:
    found = kill_at_random(f"file:{tmp_path}", f"file:{tmp_path}", KILLS)
    assert found.faults == []
    assert found.kills == KILLS


def test_files_are_whole_after_a_kill_before_every_single_step(tmp_path: Path) -> None:
    found = kill_before_each_step(tmp_path)
    assert found.faults == []
    assert found.kills > 60
    # The last writer got through, and took away what those before it left unfinished.
    assert list(tmp_path.rglob(".new-*")) == []


def test_redis_is_whole_after_kills_at_random_moments() -> None:
    with RedisServer() as server:
        found = kill_at_random(server.url, server.url, KILLS)
    assert found.faults == []
    assert found.kills == KILLS
