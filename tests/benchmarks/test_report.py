import json
from pathlib import Path

from benchmarks.report import Effort, Figure, Report, table


def report(*figures: Figure) -> Report:
    return Report("sample", Effort.QUICK, list(figures), against="nothing")


def test_a_report_reads_back_as_it_was_written(tmp_path: Path) -> None:
    written = report(Figure("a", 0.5, "x", 1.0, "note"), Figure("b", None, "ms", 2.0), Figure("c", 3.0, "s"))
    assert Report.read(written.write(tmp_path / "report.json")) == written


def test_the_json_says_which_goals_are_met(tmp_path: Path) -> None:
    path = report(
        Figure("reached", 1.0, "x", 1.0),
        Figure("missed", 1.01, "x", 1.0),
        Figure("without a goal", 5.0, "x"),
        Figure("not measured", None, "x", 1.0),
    ).write(tmp_path / "report.json")
    rows = json.loads(path.read_text())["figures"]
    assert [row["met"] for row in rows] == [True, False, None, None]


def test_the_table_shows_what_was_missed_and_what_was_not_measured() -> None:
    text = table([report(Figure("slow", 2.0, "ms", 1.0), Figure("absent", None, "ms", 1.0, "no tool"))])
    slow, absent = text.splitlines()[1:]
    assert "MISSED" in slow
    assert "not measured" in absent
    assert "no tool" in absent
    assert "ok" not in absent.split()
