"""A recording is the first init segment and then every fragment."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastvideo.client import Event, InitSegment, MediaFragment, ProtocolViolation, Recording
from fastvideo.entrypoints.streaming.protocol import QueueStatus


def init(data: bytes = b"init", segment: int = 0, stream: str = "t") -> InitSegment:
    return InitSegment(segment, stream, "video/mp4", data)


def fragment(data: bytes, segment: int = 0, stream: str = "t") -> MediaFragment:
    return MediaFragment(segment, stream, data)


def test_repeated_init_segments_are_written_once(tmp_path: Path) -> None:
    events: list[Event] = [
        QueueStatus(position=0, queue_depth=0),
        init(),
        fragment(b"-1"),
        fragment(b"-2"),
        init(segment=1),
        fragment(b"-3", segment=1),
    ]
    with Recording(tmp_path / "a.mp4") as recording:
        for event in events:
            recording.add(event)
    assert (tmp_path / "a.mp4").read_bytes() == b"init-1-2-3"
    assert recording.fragments == 3
    recording.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_the_name_appears_only_when_the_file_is_whole(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "a.mp4")
    recording.add(init())
    recording.add(fragment(b"-1"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4.part"]
    recording.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("events", [[], [init()]])
def test_without_fragments_no_file_is_left(tmp_path: Path, events: list[Event]) -> None:
    with Recording(tmp_path / "a.mp4") as recording:
        for event in events:
            recording.add(event)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("other", [init(b"other", 1), init(stream="u"), fragment(b"x", stream="u")])
def test_what_does_not_belong_to_the_timeline_is_refused_and_the_file_kept(tmp_path: Path, other: Event) -> None:
    with Recording(tmp_path / "a.mp4") as recording:
        recording.add(init())
        recording.add(fragment(b"-1"))
        with pytest.raises(ProtocolViolation):
            recording.add(other)
    assert (tmp_path / "a.mp4").read_bytes() == b"init-1"


def test_a_fragment_needs_an_init_segment_before_it(tmp_path: Path) -> None:
    with Recording(tmp_path / "a.mp4") as recording, pytest.raises(ProtocolViolation):
        recording.add(fragment(b"-1"))
