from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvideo.entrypoints.streaming.recordings.event_lines import EventFile, event_line, read_events, whole_lines

VALUES = st.none() | st.integers() | st.text('"\\\n\u2028{}ä', max_size=5) | st.just({"inner": [1, "}\n"]})
EVENTS = st.lists(st.tuples(st.sampled_from(["a", "end"]), st.dictionaries(st.just("key"), VALUES)), max_size=5)


@settings(max_examples=50)
@given(EVENTS, st.integers(0, 500))
def test_a_file_that_is_cut_anywhere_holds_the_events_before_the_cut(
    events: list[tuple[str, dict[str, Any]]], cut: int
) -> None:
    lines = [event_line(event, 12.5, 1.25, payload) for event, payload in events]
    data = b"".join(lines)[:cut]
    expected, size = 0, 0
    while expected < len(lines) and size + len(lines[expected]) <= cut:
        size += len(lines[expected])
        expected += 1
    found = whole_lines(data)
    assert [(one["event"], one["payload"]) for one in found] == events[:expected]
    assert all((one["ts"], one["media_s"]) == (12.5, 1.25) for one in found)


@given(st.binary(max_size=60))
def test_bytes_that_are_no_events_are_none(data: bytes) -> None:
    assert all(isinstance(event["payload"], dict) for event in whole_lines(data))


def test_what_a_killed_writer_began_is_cut_off_before_the_next_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(event_line("one", 1.0, 0.0, {}) + b'{"event":"tw')
    events, ends = read_events(path)
    assert [event["event"] for event in events] == ["one"]
    file = EventFile(path, keep_bytes=ends)
    file.append(event_line("two", 2.0, 0.5, {"text": "ä"}))
    file.close()
    assert [event["event"] for event in read_events(path)[0]] == ["one", "two"]


def test_a_file_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert read_events(tmp_path / "none") == ([], 0)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        EventFile(tmp_path / "events.jsonl")
