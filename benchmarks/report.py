"""What a benchmark found: figures with their goals, as a table for people and as JSON for everything else."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).parent / "results"


class Effort(StrEnum):
    """How much is measured: ``quick`` shows that a benchmark still runs, its figures mean nothing."""

    QUICK = "quick"
    NORMAL = "normal"
    LONG = "long"


@dataclass(frozen=True)
class Figure:
    """One measured value. ``goal`` is the most that it may be; a value of None was not measured, ``note`` says why."""

    name: str
    value: float | None
    unit: str
    goal: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none, or no value."""
        return None if self.value is None or self.goal is None else self.value <= self.goal


@dataclass
class Report:
    """One benchmark's outcome; ``against`` names the bare tools, ``details`` holds what the figures came from."""

    benchmark: str
    effort: Effort
    figures: list[Figure]
    against: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=lambda: describe_machine())

    def write(self, path: Path | None = None, headline: Mapping[str, float] | None = None) -> Path:
        """Write the report as JSON to ``path``, or as ``<benchmark>.json`` among the results, with the keys of
        ``headline`` in front."""
        path = RESULTS / f"{self.benchmark}.json" if path is None else path
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {**(headline or {}), **asdict(self)}
        for row, figure in zip(content["figures"], self.figures, strict=True):
            row["met"] = figure.met
        path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Report:
        """The report in a file that :meth:`write` wrote."""
        content: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
        figures = [Figure(**{k: v for k, v in row.items() if k != "met"}) for row in content["figures"]]
        known = {spec.name: content[spec.name] for spec in fields(cls)}
        return cls(**{**known, "effort": Effort(content["effort"]), "figures": figures})


def describe_machine() -> dict[str, Any]:
    """Cores, memory and versions; the load average tells whether anything else was running."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def table(reports: Iterable[Report]) -> str:
    """The figures of all reports, one a line."""
    rows = [("benchmark", "figure", "reached", "goal", "", "")]
    for report in reports:
        for figure in report.figures:
            goal = "" if figure.goal is None else f"<= {_number(figure.goal)} {figure.unit}"
            met = {True: "ok", False: "MISSED", None: ""}[figure.met]
            reached = "not measured" if figure.value is None else f"{_number(figure.value)} {figure.unit}"
            rows.append((report.benchmark, figure.name, reached, goal, met, figure.note))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def main(name: str, doc: str | None, measure: Callable[[Effort], Report]) -> int:
    """The command line of every benchmark: measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument("--long", dest="effort", action="store_const", const=Effort.LONG, help="more and longer rounds")
    effort.add_argument("--quick", dest="effort", action="store_const", const=Effort.QUICK, help="only shows it runs")
    report = measure(parser.parse_args().effort or Effort.NORMAL)
    print(table([report]))
    if report.against:
        print(f"against: {report.against}")
    report.write()
    return 0
