"""What a client is told is looked at closely: what is missing, there twice or out of order is a fault."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.stream_story import StreamStory
from fastvideo.client.stream_protocol import InitSegment, MediaFragment
from fastvideo.entrypoints.streaming.protocol import (
    ErrorMessage,
    GpuAssigned,
    Ltx2SegmentComplete,
    Ltx2SegmentStart,
    Ltx2StreamStart,
    MediaInit,
    MediaSegmentComplete,
    QueueStatus,
    SegmentCancelled,
    StepComplete,
)


def opening() -> list[Any]:
    return [
        QueueStatus(position=0, queue_depth=0, session_id="s"),
        GpuAssigned(gpu_id=0, session_timeout=300),
        Ltx2StreamStart(width=64, height=64, fps=8, num_frames=8),
    ]


def segment(index: int, prompt: str = "a", source: Any = "user") -> list[Any]:
    return [
        Ltx2SegmentStart(segment_idx=index, prompt=prompt, total_steps=1, source=source),
        StepComplete(segment_idx=index, step=1, total_steps=1),
        MediaInit(segment_idx=index, mime="video/mp4", stream_id="t"),
        InitSegment(index, "t", "video/mp4", b""),
        MediaFragment(index, "t", b""),
        MediaFragment(index, "t", b""),
        MediaSegmentComplete(segment_idx=index, stream_id="t", chunks=2),
        Ltx2SegmentComplete(segment_idx=index, generation_time_ms=1.0),
    ]


def told(events: list[Any]) -> StreamStory:
    story = StreamStory()
    for event in events:
        story.add(event)
    return story


def test_a_whole_story_has_no_fault() -> None:
    story = told([*opening(), *segment(0), *segment(1, "b"), *segment(2, "b", "auto_extension")])
    assert (story.faults, story.errors, story.segments) == ([], [], 3)
    assert (story.made["a"], story.made["b"]) == (1, 1)


@pytest.mark.parametrize("gone", [0, 2, 3, 6, 7])
def test_a_message_that_is_missing_is_a_fault(gone: int) -> None:
    events = segment(1)
    del events[gone]
    assert told([*opening(), *segment(0), *events, *segment(2)]).faults


@pytest.mark.parametrize("twice", [0, 2, 3, 6, 7])
def test_a_message_that_comes_twice_is_a_fault(twice: int) -> None:
    events = segment(1)
    events.insert(twice, events[twice])
    assert told([*opening(), *segment(0), *events, *segment(2)]).faults


def test_an_opening_in_mid_session_is_a_fault_and_news_of_the_queue_are_not() -> None:
    assert told([*opening(), *segment(0), opening()[1]]).faults
    assert told([*opening(), *segment(0), QueueStatus(position=1, queue_depth=2)]).faults == []


def test_media_and_steps_where_none_belong_are_faults() -> None:
    start, step, init, *_ = segment(1)
    assert told([*opening(), *segment(0), step]).faults
    assert told([*opening(), *segment(0), start, MediaFragment(1, "t", b"")]).faults
    assert told([*opening(), *segment(0), start, init, step]).faults


def test_the_sound_that_a_stream_owes_may_follow_a_segment_also_one_that_is_cancelled() -> None:
    owed = MediaFragment(0, "t", b"")
    cut = [*segment(1)[:7], SegmentCancelled(segment_idx=1)]
    assert told([*opening(), *segment(0), owed]).faults == []
    assert told([*opening(), *segment(0), *cut, owed, *segment(1)]).faults == []


def test_errors_are_kept() -> None:
    assert told([*opening(), ErrorMessage(code="worker_failed", message="m")]).errors == ["worker_failed, None: m"]
