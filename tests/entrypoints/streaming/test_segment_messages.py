import pytest

from fastvideo.entrypoints.streaming.director import Prompt
from fastvideo.entrypoints.streaming.prompt_work import Words
from fastvideo.entrypoints.streaming.protocol import (
    Ltx2SegmentStart,
    MediaInit,
    MediaSegmentComplete,
    StepComplete,
)
from fastvideo.entrypoints.streaming.segment_events import (
    SegmentCut,
    SegmentDone,
    SegmentFragment,
    SegmentInit,
    SegmentProgress,
    SegmentStarted,
)
from fastvideo.entrypoints.streaming.segment_messages import SegmentMessages
from fastvideo.media.timeline import MediaCursor


def messages() -> SegmentMessages:
    return SegmentMessages(4, Words(Prompt("a fox", source="curated")), "stream")


def fragment(sequence: int, pts_ms: float) -> SegmentFragment:
    return SegmentFragment(b"x" * 10, sequence, pts_ms, 250.0)


DONE = SegmentDone(
    cursor=MediaCursor(sequence=9),
    state=None,
    frames=12,
    duration_ms=500.0,
    pts_base_ms=1000.0,
    generation_ms=321.0,
    timings_ms={"denoise": 200.0, "encode": 30.0},
)


def test_each_event_becomes_its_message() -> None:
    made = messages()
    assert made.of(SegmentStarted(8, queue_ms=2.5)) == [
        Ltx2SegmentStart(segment_idx=4, prompt="a fox", total_steps=8, source="curated")
    ]
    assert made.of(SegmentProgress(3, 8, "refine")) == [
        StepComplete(segment_idx=4, step=3, total_steps=8, stage="refine")
    ]
    assert made.of(SegmentInit("video/mp4", b"init")) == [
        MediaInit(segment_idx=4, mime="video/mp4", stream_id="stream"),
        b"init",
    ]
    assert made.of(fragment(7, 1000.0)) == [b"x" * 10]
    assert made.of(fragment(8, 1250.0)) == [b"x" * 10]
    assert made.of(DONE) == [
        MediaSegmentComplete(
            segment_idx=4,
            stream_id="stream",
            chunks=2,
            duration_ms=500.0,
            pts_base_ms=1000.0,
            bytes=24,
            first_sequence=7,
            last_sequence=8,
        )
    ]
    complete = made.complete(400.0)
    assert (complete.generation_time_ms, complete.e2e_latency_ms) == (321.0, 400.0)
    assert complete.timings is not None
    assert complete.timings.model_dump(exclude_none=True) == {"queue": 2.5, "denoise": 200.0, "encode": 30.0}


def test_a_segment_that_was_cut_tells_where_its_fragments_were() -> None:
    made = messages()
    made.of(SegmentStarted(1))
    made.of(SegmentInit("video/mp4", b"init"))
    made.of(fragment(7, 1000.0))
    assert not made.timeline_known
    (complete,) = made.of(SegmentCut(MediaCursor(sequence=8)))
    assert isinstance(complete, MediaSegmentComplete)
    assert (complete.pts_base_ms, complete.duration_ms, complete.last_sequence) == (1000.0, 250.0, 7)
    assert made.timeline_known
    assert made.cursor == MediaCursor(sequence=8)


def test_the_timeline_is_known_as_long_as_nothing_was_sent() -> None:
    made = messages()
    made.of(SegmentStarted(1))
    made.of(SegmentProgress(1, 1))
    assert made.timeline_known
    assert not made.media_started
    with pytest.raises(AssertionError):
        made.complete(1.0)
