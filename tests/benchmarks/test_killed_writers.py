"""Who is killed, and who never is."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from benchmarks.killed_writers import Writers

WRITER = """
import os, signal
from benchmarks.killed_writers import fork_writers, tell

def write(order):
    tell(f"began {os.getpid()}")
    if order["ends"] == "fails":
        raise ValueError
    if order["ends"] == "never":
        signal.pause()
    os.fsync(os.open(".", os.O_RDONLY))

fork_writers(write, ("fsync",))
"""
HASTY = """
import sys

for _ in sys.stdin:
    print("began", flush=True)
    print("pid 0", flush=True)
    print("began", flush=True)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))

    def made(text: str) -> str:
        (tmp_path / "made_writer.py").write_text(text)
        return "made_writer"

    return made


def test_a_writer_is_killed_after_its_first_word_or_ends_as_it_is_told(module) -> None:
    heard: list[list[str]] = []
    with Writers(module(WRITER)) as writers:
        killed = writers.run({"ends": "never"}, heard.append, kill_after_s=0.0, first_words=("began",))
        assert killed == -signal.SIGKILL
        assert writers.run({"ends": "well"}, heard.append) == 0
        assert writers.run({"ends": "fails"}, heard.append) == 1
        assert writers.run({"ends": "well", "die_at": 0}, heard.append) == -signal.SIGKILL
        assert writers.run({"ends": "well", "die_at": 1}, heard.append) == 0
    assert [words[0] for words in heard] == ["began"] * 5
    assert len({words[1] for words in heard}) == 5


def test_nobody_is_killed_before_a_writer_has_said_which_process_it_is(module) -> None:
    with Writers(module(HASTY)) as writers, pytest.raises(RuntimeError, match="process id"):
        writers.run({}, lambda words: None, kill_after_s=0.0, first_words=("began",))
