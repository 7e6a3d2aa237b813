"""``fastvideo eval list|run``: what makes videos good, measured."""

from __future__ import annotations

import argparse
import glob
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastvideo.entrypoints.cli.cli_types import CLISubcommand

if TYPE_CHECKING:
    from fastvideo.eval import MetricResult


class EvalSubcommand(CLISubcommand):
    """Lists the metrics, or measures files by them."""

    name = "eval"

    def subparser_init(self, subparsers: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = subparsers.add_parser(
            self.name,
            help="measure how good videos are",
            description="Measure how good videos are.",
            epilog="docs/eval.md defines every metric.",
        )
        self._print_help = parser.print_help
        actions = parser.add_subparsers(dest="action", metavar="ACTION")
        listed = actions.add_parser("list", help="print the metrics", description="Print the metrics.")
        listed.add_argument("--group", help="only those of this group")
        listed.add_argument("--json", action="store_true", help="print JSON")

        run = actions.add_parser("run", help="measure files", description="Measure video files.")
        run.add_argument("files", metavar="FILE", nargs="*", help="a video, a pattern, or a folder of videos")
        run.add_argument("--videos", metavar="FILE", nargs="+", default=[], help="the same")
        run.add_argument(
            "--metrics", "--metric", default="all", help="names with commas between them, or all (default: all)"
        )
        run.add_argument(
            "--reference",
            metavar="FILE",
            action="append",
            default=[],
            help="what to compare with; once for all videos, or once for each",
        )
        run.add_argument(
            "--text-prompt",
            metavar="PROMPT",
            action="append",
            default=[],
            help="what the video was asked to show; once for all videos, or once for each",
        )
        run.add_argument("--joins", metavar="S,S", help="when later segments begin, in seconds")
        run.add_argument("--fps", type=float, help="instead of the rate that files say")
        run.add_argument(
            "--device", default="cuda:0", help="where networks run; the CPU without CUDA (default: cuda:0)"
        )
        run.add_argument("--output", metavar="FILE", help="write the results as JSON")
        run.add_argument("--json", action="store_true", help="print JSON")
        return parser

    def validate(self, args: argparse.Namespace) -> None:
        """Raises ValueError for joins that are no numbers."""
        if args.action == "run":
            _seconds(args.joins)

    def cmd(self, args: argparse.Namespace, overrides: Sequence[str]) -> int:
        if args.action is None:
            self._print_help()
            return 0
        return _list(args) if args.action == "list" else _run(args)


def matching_files(patterns: Sequence[str]) -> list[Path]:
    """The files that these name, each once: files, patterns, and the videos of folders. Raises ValueError for none."""
    from fastvideo.eval.io import SUFFIXES

    found: dict[Path, Path] = {}
    for pattern in patterns:
        path = Path(pattern).expanduser()
        if path.is_dir():
            named = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        elif path.is_file():
            named = [path]
        else:
            named = [Path(name) for name in sorted(glob.glob(str(path), recursive=True)) if Path(name).is_file()]
        if not named:
            raise ValueError(f"no video matches {pattern}")
        for file in named:
            found.setdefault(file.resolve(), file)
    if not found:
        raise ValueError("expected at least one video: a file, a pattern, or a folder")
    return list(found.values())


def described(name: str, result: MetricResult) -> str:
    """The line that people read."""
    reason = result.details.get("reason")
    value = "-" if result.score is None else f"{result.score:.4g} {result.unit}".rstrip()
    return f"  {name}  {value}" + (f" ({reason})" if reason else "")


def _list(args: argparse.Namespace) -> int:
    from fastvideo.eval import list_metrics

    metrics = list_metrics(args.group)
    if args.json:
        rows = [
            {
                "name": metric.name,
                "group": metric.group,
                "summary": metric.summary,
                "unit": metric.unit,
                "better": str(metric.better),
                "needs": sorted(metric.needs),
                "missing": metric.missing(),
            }
            for metric in metrics
        ]
        print(json.dumps(rows, indent=2))
        return 0
    names, groups = (max(len(getattr(metric, key)) for metric in metrics) for key in ("name", "group"))
    for metric in metrics:
        needs = f"; needs {', '.join(sorted(metric.needs))}" if metric.needs else ""
        unit = f", in {metric.unit}" if metric.unit else ""
        way = {"higher": "higher is better", "lower": "lower is better", "neither": "no direction"}[metric.better]
        print(f"{metric.name:{names}}  {metric.group:{groups}}  {metric.summary} ({way}{unit}{needs})")
        missing = metric.missing()
        if missing is not None:
            print(f"{'':{names}}  {missing}")
    return 0


def _run(args: argparse.Namespace) -> int:
    from fastvideo.eval import create_evaluator

    files = matching_files([*args.files, *args.videos])
    for option, given in (("--reference", args.reference), ("--text-prompt", args.text_prompt)):
        if len(given) > len(files):
            raise ValueError(f"{option} is given {len(given)} times for {len(files)} videos")
    evaluator = create_evaluator(args.metrics, args.device, skip_missing_deps=args.metrics == "all")
    for sentence in evaluator.left_out.values():
        print(f"fastvideo eval: left out: {sentence}", file=sys.stderr)
    width = max(len(metric.name) for metric in evaluator.metrics)
    rows = []
    for number, file in enumerate(files):
        found = evaluator.evaluate(
            file, _for(args.reference, number), _for(args.text_prompt, number), args.fps, joins_s=_seconds(args.joins)
        )
        rows.append({"video": str(file), "scores": {name: result.as_json() for name, result in found.items()}})
        if not args.json:
            print("\n".join([str(file), *(described(f"{name:{width}}", result) for name, result in found.items())]))
    text = json.dumps(rows, indent=2, allow_nan=False)
    if args.json:
        print(text)
    if args.output is not None:
        Path(args.output).expanduser().write_text(text + "\n", encoding="utf-8")
    return 0


def _for(given: Sequence[str], number: int) -> str | None:
    """The one of that video; the first where there are fewer than videos."""
    if not given:
        return None
    return given[number] if number < len(given) else given[0]


def _seconds(joins: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in joins.split(",")) if joins else ()
    except ValueError as error:
        raise ValueError(f"--joins takes seconds with commas between them, got {joins!r}") from error
