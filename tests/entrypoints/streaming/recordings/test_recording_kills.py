"""What a killed server recorded can be played; the long form is `benchmarks.recording_kills`."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.recording_kills import kill_at_random, kill_before_each_step

KILLS = int(os.environ.get("FASTVIDEO_STORE_KILLS", "20"))


def test_recordings_play_after_kills_at_random_moments(tmp_path: Path) -> None:
    found = kill_at_random(tmp_path, KILLS)
    assert found.faults == []
    assert found.kills == KILLS
    assert found.cut > 0


def test_recordings_play_after_a_kill_before_every_single_step(tmp_path: Path) -> None:
    found = kill_before_each_step(tmp_path)
    assert found.faults == []
    assert found.kills > 30
