"""The ``fastvideo`` command line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence

from fastvideo import __version__
from fastvideo.entrypoints.cli.bench import BenchSubcommand
from fastvideo.entrypoints.cli.cli_types import CLISubcommand
from fastvideo.entrypoints.cli.completion import CompletionSubcommand
from fastvideo.entrypoints.cli.config import ConfigSubcommand
from fastvideo.entrypoints.cli.eval import EvalSubcommand
from fastvideo.entrypoints.cli.exit_codes import ExitCode, exit_code
from fastvideo.entrypoints.cli.generate import GenerateSubcommand
from fastvideo.entrypoints.cli.inspect import InspectSubcommand
from fastvideo.entrypoints.cli.keys import KeysSubcommand
from fastvideo.entrypoints.cli.router_serve import RouterServeSubcommand
from fastvideo.entrypoints.cli.serve import ServeSubcommand
from fastvideo.entrypoints.cli.stream import StreamSubcommand


def cmd_init() -> list[CLISubcommand]:
    """All subcommands, in the order of the help text: one line each, here and in the imports above.

    Their modules import what is heavy in ``cmd``; ``tests/contract/test_imports.py`` holds them to it.
    """
    return [
        ServeSubcommand(),
        RouterServeSubcommand(),
        GenerateSubcommand(),
        StreamSubcommand(),
        BenchSubcommand(),
        ConfigSubcommand(),
        EvalSubcommand(),
        InspectSubcommand(),
        KeysSubcommand(),
        CompletionSubcommand(),
    ]


def build_parser(commands: Iterable[CLISubcommand]) -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="fastvideo",
        description="Real-time AI video as a live stream.",
        epilog="docs/cli.md shows every command, and says what the exit codes mean.",
    )
    parser.add_argument("-v", "--version", action="version", version=f"fastvideo {__version__}")
    subparsers = parser.add_subparsers(dest="subcommand", metavar="COMMAND")
    for command in commands:
        command.subparser_init(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand and give its exit code. Wrong usage raises SystemExit with code 2, as argparse does."""
    commands = {command.name: command for command in cmd_init()}
    parser = build_parser(commands.values())
    args, rest = parser.parse_known_args(argv)
    if args.subcommand is None:
        parser.print_help()
        return ExitCode.DONE
    command = commands[args.subcommand]
    if rest and not command.takes_overrides:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        command.validate(args)
        code = command.cmd(args, rest)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has had enough (`| head`). What is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.PIPE_CLOSED
    except Exception as error:
        code_of_error = exit_code(error)
        if code_of_error is None:
            raise
        print(f"fastvideo {args.subcommand}: {error}", file=sys.stderr)
        return code_of_error


if __name__ == "__main__":
    sys.exit(main())
