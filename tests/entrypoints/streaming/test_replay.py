import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.entrypoints.streaming.replay import Replay
from fastvideo.entrypoints.streaming.segment_coding import TimelineBroken
from fastvideo.entrypoints.streaming.segment_events import (
    SegmentCut,
    SegmentFragment,
    SegmentInit,
    SegmentProgress,
    SegmentStarted,
)
from fastvideo.media.timeline import MediaCursor

SEGMENT = [
    SegmentStarted(3),
    *(SegmentProgress(step, 3) for step in (1, 2, 3)),
    SegmentProgress(1, 1, "refine"),
    SegmentInit("video/mp4", b"init"),
    *(SegmentFragment(bytes([sequence]), sequence, 0.0, 1.0) for sequence in range(5, 12)),
]


@given(st.lists(st.integers(0, len(SEGMENT)), max_size=3))
def test_however_often_a_segment_breaks_off_it_is_seen_once_and_in_order(breaks) -> None:
    replay, seen = Replay(), []
    for end in [*breaks, len(SEGMENT)]:
        seen += [event for event in SEGMENT[:end] if replay.new(event)]
        replay.begin_again()
    assert seen == SEGMENT


def test_another_encoder_cannot_go_on_with_the_stream() -> None:
    replay = Replay()
    assert replay.new(SegmentInit("video/mp4", b"one"))
    replay.begin_again()
    with pytest.raises(TimelineBroken):
        replay.new(SegmentInit("video/mp4", b"other"))


def test_a_cut_counts_only_where_the_client_can_go_on_from_it() -> None:
    replay = Replay()
    for event in SEGMENT:
        replay.new(event)
    replay.begin_again()
    assert not replay.new(SegmentCut(MediaCursor(sequence=8)))
    assert replay.new(SegmentCut(MediaCursor(sequence=12)))
