"""``fastvideo generate``: videos with sound from prompts, as files."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

from fastvideo.entrypoints.cli.cli_types import CLISubcommand


class GenerateSubcommand(CLISubcommand):
    """Makes one file per prompt, from a run file, from options, or from both."""

    name = "generate"
    takes_overrides = True

    def subparser_init(self, subparsers: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = subparsers.add_parser(
            self.name,
            help="make videos with sound from prompts, as files",
            description="Make a video with sound from each prompt. Files that are there are never written over.",
            epilog="Any key of the file can be set on the command line: --request.sampling.seed 3 "
            "--generator.engine.compile.enabled true.",
            allow_abbrev=False,
        )
        parser.add_argument("--config", metavar="FILE", help="a run config, .yaml or .json; docs/cli.md shows one")
        parser.add_argument("--model", metavar="FILE", help="a checkpoint, embedded: or tiny:?seed=0")
        parser.add_argument("--prompt", action="append", metavar="TEXT", help="what to show; may be given again")
        parser.add_argument("--prompt-file", metavar="FILE", help="a .txt file with a prompt on each line")
        parser.add_argument("--image", action="append", metavar="FILE", help="the first picture, for each prompt")
        parser.add_argument("--lora", metavar="FILE", help="a LoRA that is merged into the weights")
        parser.add_argument("--output", metavar="FILE", help="an .mp4 file, or a folder (default: outputs/)")
        parser.add_argument(
            "--processes",
            type=int,
            default=1,
            metavar="N",
            help="share the prompts out among N processes, with GPUs of their own",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object per video, and no progress")
        return parser

    def validate(self, args: argparse.Namespace) -> None:
        if args.processes < 1:
            raise ValueError(f"expected --processes of at least 1, got {args.processes}")

    def cmd(self, args: argparse.Namespace, overrides: Sequence[str]) -> int:
        from fastvideo.entrypoints.cli.inference_config import parse_run, run_mapping

        raw = run_mapping(args, overrides)
        config = parse_run(raw)
        if args.processes > 1:
            from fastvideo.entrypoints.cli.shared_run import run_in_processes

            return run_in_processes(raw, args.processes, json_lines=args.json)
        from fastvideo.entrypoints.cli.generation_run import GenerationRun
        from fastvideo.entrypoints.cli.shared_run import take_own_share

        requests = take_own_share(config, os.environ)
        return GenerationRun(config.generator, json_lines=args.json).run(requests)
