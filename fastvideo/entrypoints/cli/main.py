"""The ``fastvideo`` command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from fastvideo import __version__
from fastvideo.api.errors import FastVideoError
from fastvideo.entrypoints.cli.cli_types import CLISubcommand
from fastvideo.entrypoints.cli.inspect import InspectSubcommand
from fastvideo.entrypoints.cli.keys import KeysSubcommand
from fastvideo.entrypoints.cli.router_serve import RouterServeSubcommand
from fastvideo.entrypoints.cli.serve import ServeSubcommand
from fastvideo.entrypoints.streaming.start_failure import EXIT_CODE, StartFailure


def cmd_init() -> list[CLISubcommand]:
    """All subcommands, in the order of the help text."""
    return [ServeSubcommand(), RouterServeSubcommand(), InspectSubcommand(), KeysSubcommand()]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; the exit code is 0, 1 for a failure that has a sentence, 2 for wrong usage, 3 for a server that
    cannot start although its config is valid, 130 when it is interrupted before it serves."""
    parser = argparse.ArgumentParser(prog="fastvideo", description="Real-time AI video as a live stream.")
    parser.add_argument("-v", "--version", action="version", version=f"fastvideo {__version__}")
    subparsers = parser.add_subparsers(dest="subcommand", metavar="COMMAND")
    commands = {command.name: command for command in cmd_init()}
    for command in commands.values():
        command.subparser_init(subparsers)
    args, rest = parser.parse_known_args(argv)
    if args.subcommand is None:
        parser.print_help()
        return 0
    command = commands[args.subcommand]
    if rest and not command.takes_overrides:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        command.validate(args)
        return command.cmd(args, rest)
    except StartFailure as error:
        print(f"fastvideo {args.subcommand}: {error}", file=sys.stderr)
        return EXIT_CODE
    except (FastVideoError, ValueError, OSError) as error:
        print(f"fastvideo {args.subcommand}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
