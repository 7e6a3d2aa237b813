"""The session log: one file a session, never in the way, always JSON."""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvideo.entrypoints.streaming import session_logger
from fastvideo.entrypoints.streaming.session_logger import SessionLogEvent, SessionLogger


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_each_session_has_a_file_with_one_json_object_per_line(tmp_path: Path) -> None:
    logger = SessionLogger(str(tmp_path / "logs"))
    logger.log(SessionLogEvent("a", "start", {"n": 1}, ts=12.5))
    logger.log(SessionLogEvent("b", "start"))
    logger.log(SessionLogEvent("a", "end"))
    logger.close_all()
    first, last = lines(tmp_path / "logs" / "session-a.jsonl")
    assert first == {"session_id": "a", "event": "start", "ts": 12.5, "payload": {"n": 1}}
    assert (last["event"], last["payload"]) == ("end", {})
    assert [line["event"] for line in lines(tmp_path / "logs" / "session-b.jsonl")] == ["start"]


def test_close_waits_until_that_session_is_on_disk_and_logging_may_go_on(tmp_path: Path) -> None:
    logger = SessionLogger(str(tmp_path))
    logger.log(SessionLogEvent("a", "one"))
    logger.close("a")
    assert len(lines(tmp_path / "session-a.jsonl")) == 1
    logger.log(SessionLogEvent("a", "two"))
    logger.close_all()
    logger.close_all()
    logger.log(SessionLogEvent("a", "three"))
    logger.close_all()
    assert [line["event"] for line in lines(tmp_path / "session-a.jsonl")] == ["one", "two", "three"]


def test_without_a_folder_nothing_is_written_and_no_thread_starts(tmp_path: Path) -> None:
    before = threading.active_count()
    logger = SessionLogger(None)
    logger.log(SessionLogEvent("a", "start"))
    logger.close("a")
    logger.close_all()
    assert threading.active_count() == before


def test_an_id_cannot_leave_the_folder(tmp_path: Path) -> None:
    logger = SessionLogger(str(tmp_path / "logs"))
    logger.log(SessionLogEvent("../../evil/\x00" + "x" * 500, "start"))
    logger.close_all()
    (path,) = (tmp_path / "logs").iterdir()
    assert path.name.startswith("session-.._.._evil__xxx")
    assert len(path.name) < 160


def test_values_that_are_no_json_become_bounded_text(tmp_path: Path) -> None:
    deep: Any = "bottom"
    for _ in range(100):
        deep = [deep]
    logger = SessionLogger(str(tmp_path))
    payload = {
        "object": object(),
        "nan": float("nan"),
        "bytes": b"x",
        "huge": 10**5000,
        "long": "x" * 100_000,
        "many": list(range(10_000)),
        "deep": deep,
        3: {1, 2},
        "surrogate": "\ud800",
    }
    logger.log(SessionLogEvent("a", "odd", payload))
    logger.close_all()
    (line,) = lines(tmp_path / "session-a.jsonl")
    written = line["payload"]
    assert written["object"] == "<object>"
    assert written["nan"] == "nan"
    assert written["bytes"] == "<bytes>"
    assert len(written["long"]) == session_logger.MAX_TEXT_CHARS
    assert len(written["many"]) == session_logger.MAX_ITEMS
    assert written["3"] == [1, 2]
    assert len((tmp_path / "session-a.jsonl").read_bytes()) < 30_000


class Gate:
    """Holds the writer inside its first write until opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.open = threading.Event(), threading.Event()
        write = session_logger._Writer._write

        def held(writer: session_logger._Writer, line: session_logger._Line) -> None:
            self.entered.set()
            assert self.open.wait(20)
            write(writer, line)

        monkeypatch.setattr(session_logger._Writer, "_write", held)


def test_a_slow_disk_never_holds_log_up_and_lost_lines_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    logger = SessionLogger(str(tmp_path), max_queued=3)
    logger.log(SessionLogEvent("a", "0"))
    assert gate.entered.wait(20)
    for index in range(1, 10):
        logger.log(SessionLogEvent("a", str(index)))  # would wait for ever if it waited
    logger.close("a", wait=False)
    gate.open.set()
    logger.close("other")  # behind all that was queued
    logger.log(SessionLogEvent("a", "after"))
    logger.close_all()
    assert [line["event"] for line in lines(tmp_path / "session-a.jsonl")] == ["0", "1", "2", "3", "after"]

    gate.open.clear()
    gate.entered.clear()
    logger.log(SessionLogEvent("b", "0"))
    assert gate.entered.wait(20)
    for index in range(1, 10):
        logger.log(SessionLogEvent("b", str(index)))
    gate.open.set()
    logger.close("other")
    logger.log(SessionLogEvent("b", "after"))
    logger.close_all()
    found = lines(tmp_path / "session-b.jsonl")
    assert [line["event"] for line in found] == ["0", "1", "2", "3", "log_lines_dropped", "after"]
    assert found[4]["payload"] == {"count": 6}


def test_only_so_many_files_are_open_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_logger, "MAX_OPEN_FILES", 4)
    logger = SessionLogger(str(tmp_path))
    for _ in range(3):
        for index in range(12):
            logger.log(SessionLogEvent(str(index), "x"))
    logger.close("none")
    opened = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_link(fd)]
    assert sum(str(tmp_path) in path for path in opened) <= 4
    logger.close_all()
    assert all(len(lines(tmp_path / f"session-{index}.jsonl")) == 3 for index in range(12))


def _is_link(fd: str) -> bool:
    return os.path.islink(f"/proc/self/fd/{fd}")


def test_the_oldest_files_go_when_there_are_too_many(tmp_path: Path) -> None:
    for index in range(5):
        path = tmp_path / f"session-old{index}.jsonl"
        path.write_text("{}\n")
        os.utime(path, (1000 + index, 1000 + index))
    (tmp_path / "notes.txt").write_text("not a log")
    logger = SessionLogger(str(tmp_path), max_files=4)
    logger.log(SessionLogEvent("new1", "x"))
    logger.log(SessionLogEvent("new2", "x"))
    logger.close_all()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "notes.txt",
        "session-new1.jsonl",
        "session-new2.jsonl",
        "session-old3.jsonl",
        "session-old4.jsonl",
    ]


def test_a_folder_that_cannot_be_written_is_told_once_and_harms_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file where the folder should be")
    logger = SessionLogger(str(blocked / "logs"))
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            logger.log(SessionLogEvent("a", "x"))
        logger.close_all()
    assert len([record for record in caplog.records if "cannot write" in record.message]) == 1


def test_many_threads_may_log_at_once(tmp_path: Path) -> None:
    logger = SessionLogger(str(tmp_path))
    threads = [
        threading.Thread(target=lambda: [logger.log(SessionLogEvent("a", "x", {"n": n})) for n in range(100)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    logger.close_all()
    assert len(lines(tmp_path / "session-a.jsonl")) == 800


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.builds(object),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(), VALUES), st.text(), st.floats())
def test_every_payload_makes_one_line_of_json(payload: dict[str, Any], event: str, ts: float) -> None:
    line = session_logger._to_line("id", event, payload, ts)
    assert line.count("\n") == 1
    assert json.loads(line)["event"] == event
