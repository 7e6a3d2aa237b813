from __future__ import annotations

import random
import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastvideo.entrypoints.bench.html_report import html_page
from fastvideo.entrypoints.bench.job import JobOutcome, calculate_metrics
from fastvideo.entrypoints.bench.live_metrics import live_metrics
from fastvideo.entrypoints.bench.live_session import End, LiveSession
from fastvideo.entrypoints.bench.report import Report, job_report, live_report, seconds
from fastvideo.entrypoints.bench.session_trace import SessionTrace
from fastvideo.entrypoints.bench.svg_plot import (
    WIDTH_PX,
    Axis,
    Series,
    distribution_plot,
    points_plot,
    round_values,
    thinned,
)

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


class Elements(HTMLParser):
    """Checks that elements are closed in order, and keeps their names and attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def jobs(count: int, *, fault: str | None = None) -> Report:
    rng = random.Random(0)
    outcomes = [JobOutcome(index, index, index + rng.random(), video_s=2.0, server_s=0.1) for index in range(count)]
    if fault is not None:
        outcomes.append(JobOutcome(1.0, 1.0, 1.5, fault=fault))
    return job_report(
        calculate_metrics(outcomes, 10.0),
        outcomes,
        begun_s=0.0,
        begun_at="now",
        version="1",
        interrupted=False,
        setup={"server": "http://<b>host</b>"},
    )


def streams(count: int) -> Report:
    sessions = []
    for index in range(count):
        trace = SessionTrace(float(index))
        trace.player.received(0.0, 1.0, index + 1.0)
        trace.player.received(1.0, 2.0, index + 3.0)
        trace.first_media_s = index + 1.0
        trace.steered("a", index + 2.0)
        trace.left(index + 4.0)
        sessions.append(LiveSession(trace, End.WATCHED))
    return live_report(
        live_metrics(sessions, 10.0),
        sessions,
        begun_s=0.0,
        begun_at="now",
        version="1",
        interrupted=True,
        setup={"server": "http://host"},
    )


@pytest.mark.parametrize(
    "report", [jobs(0), jobs(1), jobs(50, fault="<script>"), jobs(5000), streams(0), streams(1), streams(300)]
)
def test_the_page_is_whole_loads_nothing_and_runs_nothing(report: Report) -> None:
    page = html_page(report)
    elements = Elements(page).found
    assert not [tag for tag, _ in elements if tag in ("script", "link", "img", "iframe", "object")]
    for tag, attributes in elements:
        assert not {"src", "href", "style"} & attributes.keys(), tag
        assert not [name for name in attributes if name.startswith("on")]
    assert "url(" not in page
    assert "@import" not in page
    assert "prefers-color-scheme: dark" in page
    assert "<b>host" not in page
    assert "nan" not in page
    assert len(page) < 2_000_000


@pytest.mark.parametrize("report", [jobs(50, fault="500"), streams(30)])
def test_everything_drawn_lies_within_its_plot(report: Report) -> None:
    for tag, attributes in Elements(html_page(report)).found:
        if tag == "circle":
            assert 0 <= float(attributes["cx"] or "") <= WIDTH_PX
            assert 0 <= float(attributes["cy"] or "") <= 220
        if tag == "rect":
            assert float(attributes["x"] or "") >= 0
            assert float(attributes["x"] or "") + float(attributes["width"] or "") <= WIDTH_PX
        if tag == "path":
            assert all(0 <= float(number) <= 520 for number in NUMBER.findall(attributes["d"] or ""))


def test_a_stall_a_prompt_and_the_wait_are_seen_in_the_row_of_their_session() -> None:
    page = html_page(streams(1))
    assert "session 1: waited 1.00 s" in page
    assert "session 1: stood for 1.00 s" in page
    assert "session 1: a prompt" in page
    assert "The run was broken off" in page
    assert "The run was broken off" not in html_page(jobs(1))


def test_the_lines_for_people_have_every_figure_and_fault() -> None:
    lines = jobs(3, fault="429 queue_full").lines()
    assert lines[0] == "completed    3 of 4"
    assert "     1  429 queue_full" in lines
    assert [line.split()[-1] for line in lines[-3:]] == ["3", "3", "4"]


@given(st.floats(0, 1e6), st.floats(1e-6, 1e6))
def test_an_axis_has_a_handful_of_round_values_within_it(low: float, width: float) -> None:
    high = low + width
    if high > low * (1 + 1e-6):
        marks = round_values(low, high)
        assert 1 <= len(marks) <= 12
        assert marks == sorted(marks)
        assert all(low - 1e-6 * width <= mark <= high + 1e-6 * width for mark in marks)


@given(st.floats(-10, 200), st.booleans())
def test_what_lies_outside_an_axis_is_drawn_at_its_border(value: float, log: bool) -> None:
    axis = Axis(1.0, 100.0, 50.0, 350.0, log)
    assert 50.0 <= axis.px(value) <= 350.0
    assert (axis.px(1.0), axis.px(100.0)) == (50.0, 350.0)
    assert axis.px(10.0) == (200.0 if log else 77.3)


@given(st.integers(0, 5000), st.integers(2, 100))
def test_thinning_keeps_the_ends_and_the_order(count: int, most: int) -> None:
    points = [(float(index), 0.0) for index in range(count)]
    kept = thinned(points, most)
    assert len(kept) == min(count, most)
    assert kept == sorted(kept)
    assert kept[:1] == points[:1]
    assert kept[-1:] == points[-1:]


def test_names_and_notes_are_escaped() -> None:
    plot = points_plot(
        [Series("<x>", "c1", [(1.0, 1.0)])], label='"a"', x_label="<t>", y_text=str, note=lambda value: "<n>"
    )
    assert not re.search(r"<[xtn]>", plot)
    assert 'aria-label="&quot;a&quot;"' in plot


@given(st.lists(st.floats(0, 1e5), max_size=30))
@example([5e-324])
def test_any_values_have_a_distribution_that_can_be_drawn(values: list[float]) -> None:
    Elements(distribution_plot([("a", "c1", values)], label="a", x_text=seconds))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0 ms"), (0.0012, "1.2 ms"), (0.25, "250 ms"), (1.0, "1.00 s"), (12.34, "12.3 s"), (600, "600 s")],
)
def test_times_have_three_digits_and_a_unit(value: float, text: str) -> None:
    assert seconds(value) == text
