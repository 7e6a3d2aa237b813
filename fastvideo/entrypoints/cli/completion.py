"""``fastvideo completion SHELL``: what a shell has to know to complete commands and options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from fastvideo.entrypoints.cli.cli_types import CLISubcommand

SHELLS = ("bash", "zsh", "fish")


class CompletionSubcommand(CLISubcommand):
    """Prints a script that is made from the parser itself, so that it knows what this version knows."""

    name = "completion"

    def subparser_init(self, subparsers: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = subparsers.add_parser(
            self.name,
            help="print a script that completes commands in a shell",
            description="Print a script that completes the commands and options of fastvideo in a shell.",
            epilog="bash: fastvideo completion bash > ~/.local/share/bash-completion/completions/fastvideo; "
            "zsh: into a folder of $fpath as _fastvideo; fish: > ~/.config/fish/completions/fastvideo.fish",
        )
        parser.add_argument("shell", choices=SHELLS, help="the shell that is to complete")
        return parser

    def cmd(self, args: argparse.Namespace, overrides: Sequence[str]) -> int:
        print(completion_script(args.shell))
        return 0


def completion_script(shell: str) -> str:
    """The script for one of :data:`SHELLS`."""
    import shtab

    # The command that is asked is one of those that are listed.
    from fastvideo.entrypoints.cli.main import build_parser, cmd_init

    parser = build_parser(cmd_init())
    for action in _actions(parser):
        kind = {"FILE": shtab.FILE, "FOLDER": shtab.DIRECTORY}.get(str(action.metavar))
        if kind is not None:
            action.complete = kind  # type: ignore[attr-defined]  # where shtab looks
    script: str = shtab.complete(parser, shell)
    return script


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The parser's own arguments and those of its commands, at every depth."""
    found: list[argparse.Action] = []
    for action in parser._actions:
        found.append(action)
        if isinstance(action, argparse._SubParsersAction):
            # One parser stands under each of its aliases.
            for child in {id(child): child for child in action.choices.values()}.values():
                found += _actions(child)
    return found
