"""Puts measured figures into the model card, from what the benchmarks wrote.

python -m scripts.train_embedded.model_card
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastvideo.resources import embedded_model_dir

RESULTS = Path("benchmarks/results")
REPORTS = ("embedded_quality", "embedded_live")
CARD = embedded_model_dir() / "MODEL_CARD.md"

_BEGIN, _END = "<!-- begin figures of {} -->\n", "<!-- end figures of {} -->"


def with_figures(card: str, reports: Mapping[str, Mapping[str, Any]]) -> str:
    """The card with the tables of the reports between their marks. Raises ValueError for a card without the marks."""
    for name, report in reports.items():
        begin, end = _BEGIN.format(name), _END.format(name)
        head, found, rest = card.partition(begin)
        _, closed, tail = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"expected the lines {begin.strip()!r} and {end!r}, in that order")
        card = f"{head}{begin}{figures_table(report)}{end}{tail}"
    return card


def figures_table(report: Mapping[str, Any]) -> str:
    """A report's figures as a Markdown table; bold where the goal is reached."""
    rows = ["| figure | reached | goal | |", "|---|---|---|---|"]
    for figure in report["figures"]:
        unit = f" {figure['unit']}" if figure["unit"] else ""
        value = figure["value"]
        reached = "not measured" if value is None else f"{value:.0f}{unit}" if value >= 100 else f"{value:.3g}{unit}"
        goal = "–" if figure["goal"] is None else f"at most {figure['goal']:g}{unit}"
        rows.append(
            f"| {figure['name']} | {f'**{reached}**' if figure['met'] else reached} | {goal} | {figure['note']} |"
        )
    return "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"folder with the reports (default {RESULTS})")
    arguments = parser.parse_args()
    reports = {name: json.loads((arguments.results / f"{name}.json").read_text("utf-8")) for name in REPORTS}
    CARD.write_text(with_figures(CARD.read_text("utf-8"), reports), "utf-8")


if __name__ == "__main__":
    main()
