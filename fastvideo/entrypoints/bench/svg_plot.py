"""Small plots as inline SVG: axes, points, lines, distributions and spans. Colours are classes of the page's style."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

# As wide as a phone's screen, so that its text is readable there; on larger ones plots lie side by side.
WIDTH_PX = 400
_LEFT_PX, _RIGHT_PX, _TOP_PX, _BOTTOM_PX = 52, 14, 10, 34
_MAX_MARKS = 1500
_LOG_FROM_RATIO = 30.0


@dataclass(frozen=True)
class Series:
    """Points (x, y) in the colour ``colour``, a class of the style."""

    name: str
    colour: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Span:
    """A stretch of a row, from ``begin`` to ``end`` on the x axis; ``note`` is shown when it is pointed at."""

    begin: float
    end: float
    colour: str
    note: str


@dataclass(frozen=True)
class Axis:
    """Values from ``low`` to ``high`` over so many pixels; ``log`` takes positive ones by their order of magnitude."""

    low: float
    high: float
    from_px: float
    to_px: float
    log: bool = False

    def px(self, value: float) -> float:
        """Where a value lies; what is outside lies at the border."""
        low, high, at = (math.log10(v) if self.log else v for v in (self.low, self.high, max(value, self.low)))
        share = (min(at, high) - low) / (high - low)
        return round(self.from_px + share * (self.to_px - self.from_px), 1)

    def ticks(self) -> list[float]:
        """Round values to mark."""
        if not self.log:
            return round_values(self.low, self.high)
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        marks = [factor * 10.0**decade for decade in decades for factor in ((1, 3) if len(decades) < 4 else (1,))]
        return [mark for mark in marks if self.low <= mark <= self.high]


def round_values(low: float, high: float, about: int = 5) -> list[float]:
    """Around so many multiples of 1, 2 or 5 times a power of ten from ``low`` to ``high``, which is larger."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def thinned(points: Sequence[tuple[float, float]], most: int = _MAX_MARKS) -> list[tuple[float, float]]:
    """At most so many points, evenly chosen, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    return [points[round(index * (len(points) - 1) / (most - 1))] for index in range(most)]


def points_plot(
    series: Sequence[Series],
    *,
    label: str,
    x_label: str,
    y_text: Callable[[float], str],
    note: Callable[[float], str],
    height_px: int = 220,
) -> str:
    """A mark for every point, with its ``note`` when it is pointed at; y begins at 0."""
    x, y = _axes(series, height_px)
    marks = [
        f'<circle class="{one.colour} mark" cx="{x.px(a)}" cy="{y.px(b)}" r="2.6">'
        f"<title>{escape(one.name)}: {escape(note(b))}</title></circle>"
        for one in series
        for a, b in thinned(one.points)
    ]
    return _svg(label, height_px, _grid(x, y, x_label, y_text) + marks)


def lines_plot(
    series: Sequence[Series],
    *,
    label: str,
    x_label: str,
    y_text: Callable[[float], str],
    steps: bool = False,
    thin: bool = False,
    height_px: int = 220,
) -> str:
    """A line through the points of each series; ``steps`` keeps each value until the next, ``thin`` is for many."""
    x, y = _axes(series, height_px)
    paths = []
    for one in series:
        points = [(x.px(a), y.px(b)) for a, b in thinned(one.points)]
        if not points:
            continue
        path = f"M{points[0][0]} {points[0][1]}"
        for a, b in points[1:]:
            path += f"H{a}V{b}" if steps else f"L{a} {b}"
        paths.append(
            f'<path class="{one.colour} line{" thin" if thin else ""}" d="{path}">'
            f"<title>{escape(one.name)}</title></path>"
        )
    return _svg(label, height_px, _grid(x, y, x_label, y_text) + paths)


def distribution_plot(
    series: Sequence[tuple[str, str, Sequence[float]]], *, label: str, x_text: Callable[[float], str]
) -> str:
    """Which share of the values lies below each value: name, colour and values of each. Wide ranges by magnitude."""
    everything = [value for _, _, values in series for value in values]
    high = _high(everything)
    positive = sorted(value for value in everything if value > 0)
    # What is next to nothing should not take half of the plot.
    low = max(positive[len(positive) // 100], high / 1e4) if positive else high
    log = high / low > _LOG_FROM_RATIO
    x = Axis(low if log else 0.0, high, _LEFT_PX, WIDTH_PX - _RIGHT_PX, log)
    height_px = 220
    y = Axis(0.0, 100.0, height_px - _BOTTOM_PX, _TOP_PX)
    paths = []
    for name, colour, values in series:
        ordered = sorted(values)
        if not ordered:
            continue
        points = [(value, 100.0 * (index + 1) / len(ordered)) for index, value in enumerate(ordered)]
        path = f"M{x.px(ordered[0])} {y.px(0)}"
        path += "".join(f"H{x.px(a)}V{y.px(b)}" for a, b in thinned(points, 400)) + f"H{x.to_px}"
        paths.append(f'<path class="{colour} line" d="{path}"><title>{escape(name)}</title></path>')
    grid = _grid(x, y, "", lambda value: f"{value:g} %", x_text=x_text, y_marks=(0, 25, 50, 75, 90, 99))
    return _svg(label, height_px, grid + paths)


def spans_plot(
    rows: Sequence[tuple[str, Sequence[Span], Sequence[tuple[float, str]]]], *, label: str, x_label: str
) -> str:
    """A row for each (name, spans, moments with notes), one above the other."""
    row_px = max(4.0, min(16.0, 480.0 / max(1, len(rows))))
    height_px = round(_TOP_PX + _BOTTOM_PX + row_px * len(rows))
    x = Axis(0.0, _high([span.end for _, spans, _ in rows for span in spans]), 10, WIDTH_PX - _RIGHT_PX)
    parts = _x_marks(x, height_px, x_label, None)
    for index, (name, spans, moments) in enumerate(rows):
        top = round(_TOP_PX + index * row_px, 1)
        thick = round(max(2.0, row_px - 3), 1)
        for span in spans:
            left = x.px(span.begin)
            width = round(max(1.0, x.px(span.end) - left), 1)
            parts.append(
                f'<rect class="{span.colour} span" x="{left}" y="{top}" width="{width}" height="{thick}" rx="1.5">'
                f"<title>{escape(name)}: {escape(span.note)}</title></rect>"
            )
        for at, note in moments:
            said = f"<title>{escape(name)}: {escape(note)}</title>"
            parts.append(f'<path class="moment" d="M{x.px(at)} {top}v{thick}">{said}</path>')
    return _svg(label, height_px, parts)


def _axes(series: Sequence[Series], height_px: int) -> tuple[Axis, Axis]:
    points = [point for one in series for point in one.points]
    x = Axis(0.0, _high([a for a, _ in points]), _LEFT_PX, WIDTH_PX - _RIGHT_PX)
    return x, Axis(0.0, 1.05 * _high([b for _, b in points]), height_px - _BOTTOM_PX, _TOP_PX)


def _high(values: Sequence[float]) -> float:
    """The largest, where an axis ends; 1 when there is none that could be told from 0."""
    highest = max(values, default=0.0)
    return highest if highest > 1e-9 else 1.0


def _grid(
    x: Axis,
    y: Axis,
    x_label: str,
    y_text: Callable[[float], str],
    *,
    x_text: Callable[[float], str] | None = None,
    y_marks: Sequence[float] | None = None,
) -> list[str]:
    parts = []
    for value in y_marks if y_marks is not None else y.ticks():
        at = y.px(value)
        parts.append(f'<path class="grid" d="M{_LEFT_PX} {at}H{WIDTH_PX - _RIGHT_PX}"/>')
        parts.append(f'<text x="{_LEFT_PX - 6}" y="{at + 3.5}" text-anchor="end">{escape(y_text(value))}</text>')
    return parts + _x_marks(x, round(y.from_px + _BOTTOM_PX), x_label, x_text)


def _x_marks(x: Axis, height_px: int, x_label: str, x_text: Callable[[float], str] | None) -> list[str]:
    bottom = height_px - _BOTTOM_PX
    parts = []
    for value in x.ticks():
        at = x.px(value)
        shown = x_text(value) if x_text else f"{value:g}"
        parts.append(f'<path class="grid" d="M{at} {_TOP_PX}V{bottom + 3}"/>')
        parts.append(f'<text x="{at}" y="{bottom + 15}" text-anchor="middle">{escape(shown)}</text>')
    if x_label:
        parts.append(f'<text class="axis" x="{x.to_px}" y="{height_px - 4}" text-anchor="end">{escape(x_label)}</text>')
    return parts


def _svg(label: str, height_px: int, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH_PX} {height_px}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
