from __future__ import annotations

import asyncio

import pytest

from fastvideo.client import Event, InitSegment, MediaFragment, StreamClient
from fastvideo.entrypoints.bench.address import stream_url_of
from fastvideo.entrypoints.bench.live_metrics import live_metrics
from fastvideo.entrypoints.bench.live_session import End, LiveSession
from fastvideo.entrypoints.bench.picture_times import PictureTimes
from fastvideo.entrypoints.bench.session_trace import SessionTrace
from fastvideo.entrypoints.streaming.protocol import (
    ErrorMessage,
    GenerationBlocked,
    Ltx2SegmentComplete,
    Ltx2StreamComplete,
    Ltx2StreamStart,
    PromptStatus,
    SegmentCancelled,
    SessionInitV2,
)
from fastvideo.media.boxes import BoxError
from tests.entrypoints.bench.conftest import serving

SEGMENTS = 6


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """Every event of a real session of six segments of a second each, as fast as they could be made."""

    async def watched(url: str) -> list[Event]:
        opening = SessionInitV2(curated_prompts=["a red circle"], loop_generation_enabled=True)
        async with await StreamClient.connect(stream_url_of(url), opening, resume=False) as client:
            return [event async for event in client]

    with serving(tmp_path_factory.mktemp("results"), generation_segment_cap=SEGMENTS) as url:
        return asyncio.run(watched(url))


def traced(stream: list[Event], realtime_factor: float, buffer_s: float = 0.5) -> SessionTrace:
    """The session as it is when a worker makes each fragment in so many times its playing time."""
    trace, pictures, now_s = SessionTrace(0.0, buffer_s), PictureTimes(), 0.0
    for event in stream:
        if isinstance(event, InitSegment):
            pictures.begin(event.data)
        elif isinstance(event, MediaFragment):
            span = pictures.span_s(event.data)
            if span is not None:
                now_s = realtime_factor * span[1]
        trace.heard(event, now_s)
    trace.left(now_s + 4.0)
    return trace


def test_a_server_at_twelve_tenths_stalls_for_the_two_tenths_that_it_lacks(stream: list[Event]) -> None:
    trace = traced(stream, 1.2)
    assert (trace.segments, trace.media_s) == (SEGMENTS, pytest.approx(6.0))
    assert trace.first_media_s == pytest.approx(1.2 * 2 / 24)  # A segment's first fragment is two frames.
    # Of the 1.2 s that lack, the viewer waits for what is made of the first half second or a fragment more.
    assert trace.player.started_at_s is not None
    assert 1.2 * 0.5 - 1e-6 <= trace.player.started_at_s <= 1.2 * 0.75
    stood_s = sum(stall.duration_s for stall in trace.stalls)
    assert 1.2 * 6 - 6 - trace.player.started_at_s - 1e-6 <= stood_s <= 1.2 * 6 - 6 - trace.player.started_at_s + 0.5
    assert trace.stalls
    assert max(trace.late_s) > 0


def test_a_server_at_nine_tenths_does_not_stall(stream: list[Event]) -> None:
    trace = traced(stream, 0.9)
    assert trace.stalls == []
    assert set(trace.late_s) == {0.0}
    assert trace.player.position_s == pytest.approx(6.0)


def test_gaps_at_joins_are_told_from_those_between_fragments(stream: list[Event]) -> None:
    trace = traced(stream, 1.0)
    fragments = sum(isinstance(event, MediaFragment) for event in stream)
    assert len(trace.join_gaps_s) == SEGMENTS - 1
    # What follows the last picture is sound alone, and no gap.
    assert len(trace.fragment_gaps_s) + len(trace.join_gaps_s) in (fragments - 1, fragments - 2)
    assert trace.join_gaps_s == pytest.approx([2 / 24] * (SEGMENTS - 1))
    assert max(trace.fragment_gaps_s) <= 0.25 + 1e-6


def test_a_prompt_is_followed_from_sending_it_to_its_picture(stream: list[Event]) -> None:
    trace = SessionTrace(0.0, buffer_s=0.5)
    first = next(index for index, event in enumerate(stream) if isinstance(event, Ltx2SegmentComplete))
    for event in stream[: first + 1]:
        trace.heard(event, 1.0)
    for request_id, sent_s in (("a", 1.1), ("b", 1.2), ("c", 1.25)):
        trace.steered(request_id, sent_s)
    trace.heard(PromptStatus(request_id="b", status="rejected", reason="too long"), 1.3)
    trace.heard(PromptStatus(request_id="a", status="applied"), 1.4)
    trace.heard(PromptStatus(request_id="of somebody else", status="applied"), 1.45)
    for event in stream[first + 1 :]:
        trace.heard(event, 1.5)
    trace.left(9.0)
    a, b, c = trace.steering
    # The second segment is shown once the second of the first has been, which began at 1.0.
    assert (a.sent_s, a.applied_s, a.media_s, a.shown_s) == (1.1, 1.4, 1.5, pytest.approx(2.0))
    assert (b.rejected, b.applied_s) == ("too long", None)
    assert (c.applied_s, c.rejected) == (None, None)


@pytest.mark.parametrize("broken", [SegmentCancelled(segment_idx=1), ErrorMessage(code="worker_failed", message="no")])
def test_a_segment_that_broke_off_lends_no_prompt_the_next_ones_picture(stream: list[Event], broken: Event) -> None:
    trace = SessionTrace(0.0)
    trace.steered("a", 0.0)
    trace.heard(PromptStatus(request_id="a", status="applied"), 0.5)
    trace.heard(broken, 0.6)
    for event in stream:
        trace.heard(event, 1.0)
    assert [one.media_s for one in trace.steering] == [None]
    assert trace.errors == (["worker_failed"] if isinstance(broken, ErrorMessage) else [])


@pytest.mark.parametrize(("reason", "stalls"), [("no_prompt", 0), ("segment_cap", 0), ("worker_failed", 1)])
def test_a_picture_rests_without_a_stall_where_the_session_asked_for_no_more(
    stream: list[Event], reason: str, stalls: int
) -> None:
    trace = SessionTrace(0.0)
    for event in stream:
        if not isinstance(event, Ltx2StreamComplete):
            trace.heard(event, 1.0)
    trace.heard(GenerationBlocked.model_validate({"type": "generation_blocked", "reason": reason}), 1.0)
    trace.left(100.0)
    assert len(trace.stalls) == stalls


def test_media_that_cannot_be_read_is_said_to_be_so(stream: list[Event]) -> None:
    fragment = next(event for event in stream if isinstance(event, MediaFragment))
    with pytest.raises(BoxError, match="before the first fragment"):
        SessionTrace(0.0).heard(fragment, 0.0)


def test_many_sessions_come_to_metrics(stream: list[Event]) -> None:
    sessions = [LiveSession(traced(stream, rtf), End.WATCHED) for rtf in (0.5, 1.2)]
    refused = LiveSession(SessionTrace(3.0), End.REFUSED, "gpu_unavailable")
    refused.trace.left(3.1)
    metrics = live_metrics([*sessions, refused], 10.0)
    assert (metrics.sessions, metrics.watched, metrics.most_at_once) == (3, 2, 3)
    assert metrics.ends == {"watched": 2, "refused: gpu_unavailable": 1}
    assert metrics.first_frame is not None
    assert metrics.first_frame.count == 2
    assert metrics.media_seconds == pytest.approx(12.0)
    assert metrics.media_seconds_per_second == pytest.approx(1.2)
    slow = sum(stall.duration_s for stall in sessions[1].trace.stalls)
    assert metrics.stalled_sessions == 1
    assert metrics.stalled_seconds == pytest.approx(slow)
    assert metrics.stalled_share == pytest.approx(slow / (12.0 + slow))


def test_a_session_that_saw_nothing_counts_in_no_percentile() -> None:
    trace = SessionTrace(0.0)
    trace.heard(Ltx2StreamStart(width=64, height=64, fps=24, num_frames=24), 0.25)
    trace.left(1.0)
    metrics = live_metrics([LiveSession(trace)], 1.0)
    assert metrics.ends == {"broken off": 1}
    assert metrics.waiting is not None
    assert (metrics.waiting.max, metrics.first_frame, metrics.stall, metrics.stalled_share) == (0.25, None, None, 0.0)
