"""What many live sessions come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fastvideo.entrypoints.bench.live_session import End, LiveSession
from fastvideo.entrypoints.bench.summary import Summary, summarise


@dataclass(frozen=True)
class LiveMetrics:
    """Times in seconds. ``ends`` counts how sessions ended, with the reason of what is none of the viewer's doing;
    ``errors`` what the server told those that it had taken.

    ``first_frame``: asking for a session to its first media fragment; ``first_picture``: until the virtual player
    starts; ``waiting``: until a worker took it. ``fragment_gap``: between fragments of a segment; ``join_gap``: from a
    segment's last fragment to the first of the next. ``late``: how long the picture had been standing when a fragment
    came. ``control_*``: from sending a prompt to the notice that a segment takes it, to that segment's first fragment,
    and to its first picture on the screen.
    """

    duration: float
    sessions: int
    watched: int
    most_at_once: int
    ends: dict[str, int]
    errors: dict[str, int]
    segments: int
    media_seconds: float
    media_bytes: int
    media_seconds_per_second: float
    waiting: Summary | None
    first_frame: Summary | None
    first_picture: Summary | None
    fragment_gap: Summary | None
    join_gap: Summary | None
    late: Summary | None
    stalls: int
    stalled_sessions: int
    stalled_seconds: float
    stalled_share: float
    stall: Summary | None
    prompts_sent: int
    prompts_applied: int
    prompts_rejected: int
    control_applied: Summary | None
    control_media: Summary | None
    control_shown: Summary | None


def live_metrics(sessions: Sequence[LiveSession], duration_s: float) -> LiveMetrics:
    """The metrics of sessions during ``duration_s``. What has not happened in a session counts in no percentile."""
    traces = [session.trace for session in sessions]
    steering = [one for trace in traces for one in trace.steering]
    stalls = [stall for trace in traces for stall in trace.stalls]
    played_s = sum(trace.player.position_s - trace.player.begun_at_s for trace in traces)
    stalled_s = sum(stall.duration_s for stall in stalls)
    media_s = sum(trace.media_s for trace in traces)
    ends = Counter(ending(session) for session in sessions)
    return LiveMetrics(
        duration=duration_s,
        sessions=len(sessions),
        watched=sum(session.end in (End.WATCHED, End.COMPLETED) for session in sessions),
        most_at_once=_most_at_once([(trace.asked_s, trace.left_s) for trace in traces]),
        ends=dict(ends.most_common()),
        errors=dict(
            Counter(error for trace in traces if trace.active_s is not None for error in trace.errors).most_common()
        ),
        segments=sum(trace.segments for trace in traces),
        media_seconds=media_s,
        media_bytes=sum(trace.media_bytes for trace in traces),
        media_seconds_per_second=media_s / duration_s if duration_s > 0 else 0.0,
        waiting=_since_asked((trace.asked_s, trace.active_s) for trace in traces),
        first_frame=_since_asked((trace.asked_s, trace.first_media_s) for trace in traces),
        first_picture=_since_asked((trace.asked_s, trace.player.started_at_s) for trace in traces),
        fragment_gap=summarise([gap for trace in traces for gap in trace.fragment_gaps_s]),
        join_gap=summarise([gap for trace in traces for gap in trace.join_gaps_s]),
        late=summarise([late for trace in traces for late in trace.late_s]),
        stalls=len(stalls),
        stalled_sessions=sum(bool(trace.stalls) for trace in traces),
        stalled_seconds=stalled_s,
        stalled_share=stalled_s / (played_s + stalled_s) if played_s + stalled_s > 0 else 0.0,
        stall=summarise([stall.duration_s for stall in stalls]),
        prompts_sent=len(steering),
        prompts_applied=sum(one.applied_s is not None for one in steering),
        prompts_rejected=sum(one.rejected is not None for one in steering),
        control_applied=_since_asked((one.sent_s, one.applied_s) for one in steering),
        control_media=_since_asked((one.sent_s, one.media_s) for one in steering),
        control_shown=_since_asked((one.sent_s, one.shown_s) for one in steering),
    )


def ending(session: LiveSession) -> str:
    """How a session is counted."""
    if session.end is None:
        return "broken off"
    return f"{session.end}: {session.why}" if session.why else str(session.end)


def _since_asked(moments: Iterable[tuple[float, float | None]]) -> Summary | None:
    return summarise([then_s - asked_s for asked_s, then_s in moments if then_s is not None])


def _most_at_once(spans: Sequence[tuple[float, float]]) -> int:
    # At the same moment, who leaves is counted before who comes.
    changes = sorted([(end, -1) for _, end in spans] + [(begin, 1) for begin, _ in spans])
    here = most = 0
    for _, change in changes:
        here += change
        most = max(most, here)
    return most
