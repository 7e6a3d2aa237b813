"""What a run found, as one document: the JSON file, the table for people and the HTML page are made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from fastvideo.entrypoints.bench.job import JobMetrics, JobOutcome
from fastvideo.entrypoints.bench.live_metrics import LiveMetrics, ending
from fastvideo.entrypoints.bench.live_session import LiveSession
from fastvideo.entrypoints.bench.summary import Summary
from fastvideo.entrypoints.bench.svg_plot import thinned

# Of what each player had in hand; a plot shows no more.
_MAX_POINTS = 600


@dataclass(frozen=True)
class Row:
    """Percentiles of one kind of value, in seconds. ``note`` says what is measured."""

    name: str
    values: Summary
    note: str


@dataclass(frozen=True)
class Report:
    """``setup``: what was asked for, never a key or a prompt. ``rows``, ``headlines`` and ``counts`` are for people;
    ``each`` tells of every job or session, in seconds since the run's beginning."""

    kind: str
    begun_at: str
    version: str
    interrupted: bool
    setup: Mapping[str, Any]
    metrics: JobMetrics | LiveMetrics
    headlines: Mapping[str, str]
    counts: Mapping[str, int]
    rows: list[Row]
    each: list[dict[str, Any]] = field(repr=False)

    def document(self) -> dict[str, Any]:
        """The JSON."""
        return {
            "kind": self.kind,
            "begun_at": self.begun_at,
            "version": self.version,
            "interrupted": self.interrupted,
            "setup": dict(self.setup),
            "metrics": asdict(self.metrics),
            self.kind: self.each,
        }

    def lines(self) -> list[str]:
        """The text for people."""
        width = max((len(name) for name in self.headlines), default=0)
        lines = [f"{name:{width}}  {value}" for name, value in self.headlines.items()]
        if self.counts:
            lines += ["", *(f"{count:>6}  {name}" for name, count in self.counts.items())]
        if self.rows:
            width = max(len(row.name) for row in self.rows)
            titles = "".join(f"{title:>10}" for title in ("p50", "p90", "p99", "max", "count"))
            lines += ["", " " * width + titles]
            for row in self.rows:
                values = row.values
                shown = (*(seconds(value) for value in (values.p50, values.p90, values.p99, values.max)), values.count)
                lines.append(f"{row.name:{width}}" + "".join(f"{cell:>10}" for cell in shown))
        return lines


def job_report(
    metrics: JobMetrics,
    outcomes: list[JobOutcome],
    *,
    begun_s: float,
    begun_at: str,
    version: str,
    interrupted: bool,
    setup: Mapping[str, Any],
) -> Report:
    """The report of jobs."""
    headlines = {
        "completed": f"{metrics.completed} of {len(outcomes)}",
        "duration": seconds(metrics.duration),
        "throughput": f"{metrics.throughput_qps:.3g} /s",
    }
    if metrics.video_seconds_per_second:
        headlines["video made"] = f"{metrics.video_seconds_per_second:.3g} s/s"
    if metrics.latency:
        headlines |= {"latency p50": seconds(metrics.latency.p50), "latency p99": seconds(metrics.latency.p99)}
    if metrics.peak_memory_mb_max is not None:
        headlines["peak memory"] = f"{metrics.peak_memory_mb_max:.0f} MB"
    counts = dict(metrics.failures)
    if metrics.unfinished:
        counts["broken off"] = metrics.unfinished
    rows = _rows(
        ("latency", metrics.latency, "from sending a request until its result is there"),
        ("server's own time", metrics.server_time, "what the server says that making it took"),
        ("held back here", metrics.held_back, "from its arrival until it was sent, because enough others ran"),
    )
    each = [
        {
            "due_s": _since(one.due_s, begun_s),
            "sent_s": _since(one.sent_s, begun_s),
            "ended_s": _since(one.ended_s, begun_s),
            "latency_s": _rounded(one.latency_s),
            "fault": one.fault,
            "video_s": one.video_s,
            "server_s": one.server_s,
        }
        for one in outcomes
    ]
    return Report("jobs", begun_at, version, interrupted, setup, metrics, headlines, counts, rows, each)


def live_report(
    metrics: LiveMetrics,
    sessions: list[LiveSession],
    *,
    begun_s: float,
    begun_at: str,
    version: str,
    interrupted: bool,
    setup: Mapping[str, Any],
) -> Report:
    """The report of live streams."""
    headlines = {
        "watched to the end": f"{metrics.watched} of {metrics.sessions}",
        "most at once": f"{metrics.most_at_once}",
        "duration": seconds(metrics.duration),
    }
    if metrics.first_frame:
        headlines["first frame p50"] = seconds(metrics.first_frame.p50)
        headlines["first frame p99"] = seconds(metrics.first_frame.p99)
        headlines["stalls"] = f"{metrics.stalls}, in {metrics.stalled_sessions} sessions"
        headlines["time stalled"] = f"{100 * metrics.stalled_share:.2g} %"
        headlines["video received"] = f"{metrics.media_seconds_per_second:.3g} s/s"
    if metrics.prompts_sent:
        headlines["prompts taken"] = f"{metrics.prompts_applied} of {metrics.prompts_sent}"
    counts = {**metrics.ends, **{f"error: {name}": count for name, count in metrics.errors.items()}}
    rows = _rows(
        ("wait for a worker", metrics.waiting, "from asking for a session until it is active"),
        ("first frame", metrics.first_frame, "from asking for a session to its first media fragment"),
        ("first picture", metrics.first_picture, "from asking for a session until the virtual player starts"),
        ("fragment gap", metrics.fragment_gap, "between two fragments of a segment"),
        ("join gap", metrics.join_gap, "from a segment's last fragment to the first of the next"),
        ("lateness", metrics.late, "how long the picture had been standing when a fragment came"),
        ("stall", metrics.stall, "how long the picture stood each time"),
        ("prompt taken", metrics.control_applied, "from sending a prompt to the notice that a segment takes it"),
        ("prompt's first frame", metrics.control_media, "from sending a prompt to the first fragment made from it"),
        ("prompt on screen", metrics.control_shown, "from sending a prompt until the virtual player shows it"),
    )
    each = [_session(session, begun_s) for session in sessions]
    return Report("sessions", begun_at, version, interrupted, setup, metrics, headlines, counts, rows, each)


def seconds(value: float) -> str:
    """A time with three digits and its unit."""
    if value >= 60:
        return f"{value:.0f} s"
    if value >= 1:
        return f"{value:#.3g} s"
    return f"{1000 * value:.0f} ms" if value >= 0.01 or value == 0 else f"{1000 * value:.1f} ms"


def round_seconds(value: float) -> str:
    """A round time, for an axis."""
    return f"{value:g} s" if value >= 1 or value == 0 else f"{1000 * value:g} ms"


def _rows(*rows: tuple[str, Summary | None, str]) -> list[Row]:
    return [Row(name, values, note) for name, values, note in rows if values is not None]


def _session(session: LiveSession, begun_s: float) -> dict[str, Any]:
    trace = session.trace
    return {
        "asked_s": _since(trace.asked_s, begun_s),
        "active_s": _since(trace.active_s, begun_s),
        "first_frame_s": _since(trace.first_media_s, begun_s),
        "first_picture_s": _since(trace.player.started_at_s, begun_s),
        "left_s": _since(trace.left_s, begun_s),
        "end": ending(session),
        "errors": trace.errors,
        "segments": trace.segments,
        "media_s": _rounded(trace.media_s),
        "media_bytes": trace.media_bytes,
        "stalls": [
            {"at_s": _since(stall.at_s, begun_s), "duration_s": _rounded(stall.duration_s)} for stall in trace.stalls
        ],
        "steering": [
            {
                "sent_s": _since(one.sent_s, begun_s),
                "applied_s": _since(one.applied_s, begun_s),
                "media_s": _since(one.media_s, begun_s),
                "shown_s": _since(one.shown_s, begun_s),
                "rejected": one.rejected,
            }
            for one in trace.steering
        ],
        "join_gaps_s": [_rounded(gap) for gap in trace.join_gaps_s],
        "fragment_gaps_s": [_rounded(gap) for gap in trace.fragment_gaps_s],
        "ahead": [[_since(at_s, begun_s), _rounded(ahead_s)] for at_s, ahead_s in thinned(trace.ahead, _MAX_POINTS)],
    }


def _since(at_s: float | None, begun_s: float) -> float | None:
    return None if at_s is None else _rounded(at_s - begun_s)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
