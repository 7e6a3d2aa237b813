"""The report as one HTML page: no script, nothing that is loaded from elsewhere, light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from fastvideo.entrypoints.bench.report import Report, round_seconds, seconds
from fastvideo.entrypoints.bench.svg_plot import (
    Series,
    Span,
    distribution_plot,
    lines_plot,
    points_plot,
    spans_plot,
)

# Rows beyond that could not be told apart.
_MAX_ROWS = 120
_SINCE = "seconds since the start"

_STYLE = """
:root { color-scheme: light dark; --page: #f7f7f5; --card: #ffffff; --ink: #1b1d22; --soft: #62666f; --rule: #e4e4e0;
  --c1: #2a6bd6; --c2: #c8620a; --c3: #16825a; --c4: #c5303a; --c5: #7650c4; --c6: #b9bcc3; }
@media (prefers-color-scheme: dark) { :root { --page: #121317; --card: #1b1d22; --ink: #e9eaed; --soft: #a0a4ae;
  --rule: #2d3038; --c1: #72a6ff; --c2: #f0a050; --c3: #57c795; --c4: #ff7a7a; --c5: #b79bf7; --c6: #565a64; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 28px 16px 48px; }
h1 { font-size: 22px; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 15px; margin: 0; }
p { margin: 0; }
.soft, figcaption p { color: var(--soft); font-size: 13px; }
.warn { color: var(--c4); font-weight: 600; }
.tiles, .plots { display: grid; gap: 12px; margin: 20px 0; }
.tiles { grid-template-columns: repeat(auto-fit, minmax(min(100%, 165px), 1fr)); }
.plots { grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); align-items: start; }
.tile, figure, section { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; margin: 0; }
.tile { padding: 10px 14px; }
.tile span { display: block; color: var(--soft); font-size: 13px; }
.tile b { font-size: 18px; font-weight: 600; line-height: 1.3; font-variant-numeric: tabular-nums; }
figure { padding: 14px 14px 6px; }
section { padding: 14px; margin: 12px 0; }
svg { display: block; width: 100%; height: auto; margin-top: 6px; overflow: visible; }
svg text { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--rule); stroke-width: 1; fill: none; }
.line { fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linejoin: round; }
.line.thin { stroke-width: 1.2; opacity: .8; }
.mark { fill: currentColor; opacity: .75; }
.span { fill: currentColor; }
.moment { stroke: var(--ink); stroke-width: 1.4; }
.c1 { color: var(--c1); } .c2 { color: var(--c2); } .c3 { color: var(--c3); }
.c4 { color: var(--c4); } .c5 { color: var(--c5); } .c6 { color: var(--c6); }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; margin: 4px 0 0; padding: 0; list-style: none;
  font-size: 13px; }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 3px; background: currentColor;
  margin-right: 6px; }
.legend span { color: var(--ink); }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; margin-top: 6px; }
th, td { text-align: right; padding: 5px 0 5px 10px; border-top: 1px solid var(--rule); white-space: nowrap; }
thead th { border-top: 0; color: var(--soft); font-weight: 500; }
tbody th { text-align: left; font-weight: 500; padding-left: 0; white-space: normal; }
tbody th small { display: block; color: var(--soft); font-weight: 400; }
@media (max-width: 560px) { .wide { display: none; } th, td { padding-left: 6px; font-size: 12px; } }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 6px 0 0; font-size: 13px; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
"""


def html_page(report: Report) -> str:
    """The whole page."""
    what = "Jobs" if report.kind == "jobs" else "Live streams"
    server = escape(str(report.setup.get("server", "")))
    about = f"{server}, {escape(report.begun_at)}, fastvideo {escape(report.version)}"
    warning = (
        '<p class="warn">The run was broken off; this is what was known by then.</p>' if report.interrupted else ""
    )
    tiles = "".join(
        f'<div class="tile"><span>{escape(name)}</span><b>{escape(value)}</b></div>'
        for name, value in report.headlines.items()
    )
    plots = _job_plots(report.each) if report.kind == "jobs" else _live_plots(report.each)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"content-security-policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{what} of {server}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{what} under load</h1>\n"
        f'<p class="soft">{about}</p>\n{warning}'
        f'<div class="tiles">{tiles}</div>\n{_table(report)}\n<div class="plots">{plots}</div>\n'
        f"{_counts(report)}\n{_setup(report)}\n</main>\n</body>\n</html>\n"
    )


def _job_plots(jobs: Sequence[dict[str, Any]]) -> str:
    done = [job for job in jobs if job["latency_s"] is not None]
    failed = [job for job in jobs if job["fault"] is not None and job["sent_s"] is not None]
    series = [
        Series("made", "c1", [(job["sent_s"], job["latency_s"]) for job in done]),
        Series("failed", "c4", [(job["sent_s"], job["ended_s"] - job["sent_s"]) for job in failed]),
    ]
    plots = [
        _figure(
            "Latency of each job",
            "by when it was sent",
            points_plot(series, label="latency of each job", x_label=_SINCE, y_text=round_seconds, note=seconds),
            [(one.name, one.colour) for one in series if one.points],
        ),
        _figure(
            "Latencies",
            "share of the jobs that took no longer",
            distribution_plot(
                [
                    ("latency", "c1", [job["latency_s"] for job in done]),
                    ("server's own time", "c3", [job["server_s"] for job in done if job["server_s"] is not None]),
                ],
                label="distribution of the latencies",
                x_text=round_seconds,
            ),
            [("latency", "c1"), ("server's own time", "c3")],
        ),
        _figure(
            "Jobs at a time",
            "sent and not over",
            lines_plot(
                [Series("jobs", "c1", _at_once([(job["sent_s"], job["ended_s"]) for job in jobs]))],
                label="jobs at a time",
                x_label=_SINCE,
                y_text=lambda value: f"{value:g}",
                steps=True,
            ),
        ),
    ]
    return "".join(plots)


def _live_plots(sessions: Sequence[dict[str, Any]]) -> str:
    rows = [(f"session {index + 1}", *_row(session)) for index, session in enumerate(sessions[:_MAX_ROWS])]
    shown = f"the first {_MAX_ROWS} of {len(sessions)}" if len(sessions) > _MAX_ROWS else "each is a row"
    ahead = [
        Series(f"session {index + 1}", f"c{index % 5 + 1}", session["ahead"])
        for index, session in enumerate(sessions[:_MAX_ROWS])
    ]
    gaps = ("fragment_gaps_s", "between fragments", "c1"), ("join_gaps_s", "at joins", "c2")
    firsts = (
        ("active_s", "taken by a worker", "c3"),
        ("first_frame_s", "first frame", "c1"),
        ("first_picture_s", "picture starts", "c5"),
    )
    steps = ("applied_s", "taken", "c3"), ("media_s", "first frame", "c1"), ("shown_s", "on screen", "c5")
    steering = [one for session in sessions for one in session["steering"]]
    plots = [
        _figure(
            "Sessions",
            f"{shown}; a tick is a prompt that was sent",
            spans_plot(rows, label="sessions over time", x_label=_SINCE),
            [("waits", "c6"), ("plays", "c1"), ("stands", "c4"), ("never began", "c2")],
        ),
        _figure(
            "Picture in hand",
            "what each player has and has not played",
            lines_plot(ahead, label="media ahead of each player", x_label=_SINCE, y_text=round_seconds, thin=True),
        ),
        _figure(
            "From asking to the first picture",
            "share of the sessions that waited no longer",
            distribution_plot(
                [(name, colour, _between(sessions, "asked_s", key)) for key, name, colour in firsts],
                label="distribution of the waits for the first picture",
                x_text=round_seconds,
            ),
            [(name, colour) for _, name, colour in firsts],
        ),
        _figure(
            "Gaps",
            "share of the gaps between fragments that were no longer",
            distribution_plot(
                [(name, colour, [gap for one in sessions for gap in one[key]]) for key, name, colour in gaps],
                label="distribution of the gaps between fragments",
                x_text=round_seconds,
            ),
            [(name, colour) for _, name, colour in gaps],
        ),
    ]
    if steering:
        plots.append(
            _figure(
                "From a prompt to its picture",
                "share of the prompts that got so far in no longer",
                distribution_plot(
                    [(name, colour, _between(steering, "sent_s", key)) for key, name, colour in steps],
                    label="distribution of the control latencies",
                    x_text=round_seconds,
                ),
                [(name, colour) for _, name, colour in steps],
            )
        )
    return "".join(plots)


def _row(session: dict[str, Any]) -> tuple[list[Span], list[tuple[float, str]]]:
    asked, started, left = session["asked_s"], session["first_picture_s"], session["left_s"]
    moments = [(one["sent_s"], "a prompt") for one in session["steering"]]
    if started is None:
        return [Span(asked, left, "c2", session["end"])], moments
    spans = [Span(asked, started, "c6", f"waited {seconds(started - asked)}")]
    spans.append(Span(started, left, "c1", f"played, {session['end']}"))
    for stall in session["stalls"]:
        end = stall["at_s"] + stall["duration_s"]
        spans.append(Span(stall["at_s"], end, "c4", f"stood for {seconds(stall['duration_s'])}"))
    return spans, moments


def _between(items: Sequence[dict[str, Any]], begin: str, end: str) -> list[float]:
    return [item[end] - item[begin] for item in items if item[end] is not None]


def _at_once(spans: Sequence[tuple[float | None, float | None]]) -> list[tuple[float, float]]:
    changes = sorted(
        [(begin, 1) for begin, _ in spans if begin is not None]
        + [(end, -1) for begin, end in spans if begin is not None and end is not None]
    )
    points, here = [(0.0, 0.0)], 0
    for at_s, change in changes:
        here += change
        points.append((at_s, float(here)))
    return points


def _figure(title: str, about: str, plot: str, legend: Sequence[tuple[str, str]] = ()) -> str:
    entries = "".join(f'<li class="{colour}"><i></i><span>{escape(name)}</span></li>' for name, colour in legend)
    listed = f'<ul class="legend">{entries}</ul>' if entries else ""
    return f"<figure><figcaption><h2>{escape(title)}</h2><p>{escape(about)}</p>{listed}</figcaption>{plot}</figure>\n"


def _table(report: Report) -> str:
    if not report.rows:
        return ""
    rows = []
    for row in report.rows:
        values = row.values
        cells = "".join(f"<td>{seconds(value)}</td>" for value in (values.p50, values.p90, values.p99))
        more = f'<td class="wide">{seconds(values.max)}</td><td class="wide">{seconds(values.mean)}</td>'
        more += f'<td class="wide">{values.count}</td>'
        rows.append(f"<tr><th>{escape(row.name)}<small>{escape(row.note)}</small></th>{cells}{more}</tr>")
    titles = "<th></th><th>p50</th><th>p90</th><th>p99</th>"
    titles += "".join(f'<th class="wide">{title}</th>' for title in ("max", "mean", "count"))
    return f"<section><table><thead><tr>{titles}</tr></thead><tbody>{''.join(rows)}</tbody></table></section>"


def _counts(report: Report) -> str:
    title = "What failed" if report.kind == "jobs" else "How sessions ended"
    if not report.counts:
        return ""
    entries = "".join(f"<dt>{count}</dt><dd>{escape(name)}</dd>" for name, count in report.counts.items())
    return f"<section><h2>{title}</h2><dl>{entries}</dl></section>"


def _setup(report: Report) -> str:
    shown = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in report.setup.items()}
    entries = "".join(
        f"<dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(value)}</dd>" for name, value in shown.items()
    )
    return f"<section><h2>What was asked for</h2><dl>{entries}</dl></section>"
