"""``fastvideo config check FILE`` and ``fastvideo config schema``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastvideo.entrypoints.cli.cli_types import CLISubcommand

_COMMANDS = ("serve", "generate", "router-serve")


class ConfigSubcommand(CLISubcommand):
    """Tells what is wrong with config files before a server is started with them."""

    name = "config"

    def subparser_init(self, subparsers: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = subparsers.add_parser(
            self.name, help="check config files", description="Check config files, and print what they may hold."
        )
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        check = actions.add_parser(
            "check",
            help="say everything that is wrong with a config file",
            description="Say everything that is wrong with a config file: its line, the key, what was expected, and "
            "what came. Nothing is loaded. The exit code is 0 for a file that is accepted, 1 for one that is not.",
        )
        check.add_argument("file", metavar="FILE", help="a config of serve, generate or router-serve, .yaml or .json")
        check.add_argument("--for", dest="kind", choices=_COMMANDS, help="whose it is (default: by its keys)")
        check.add_argument("--no-files", action="store_true", help="do not look for the model that it names")
        check.add_argument("--json", action="store_true", help="print JSON")
        schema = actions.add_parser(
            "schema",
            help="print the JSON Schema of config files",
            description="Print the JSON Schema of config files, for editors and other programs.",
        )
        schema.add_argument("kind", nargs="?", choices=_COMMANDS, default="serve", help="whose files (default: serve)")
        return parser

    def cmd(self, args: argparse.Namespace, overrides: Sequence[str]) -> int:
        if args.action == "schema":
            from fastvideo.entrypoints.cli.config_check import schema_of

            print(json.dumps(schema_of(args.kind), indent=2))
            return 0
        return _check(args)


def _check(args: argparse.Namespace) -> int:
    from fastvideo.api.errors import ConfigValidationError
    from fastvideo.api.parser import load_raw_config
    from fastvideo.entrypoints.cli.config_check import faults_of, kind_of
    from fastvideo.entrypoints.cli.config_lines import ConfigLines

    kind, faults, lines = args.kind, [], ConfigLines("")
    try:
        raw = load_raw_config(args.file)
    except ConfigValidationError as error:
        faults = [error]
    else:
        kind = kind or kind_of(raw)
        lines = ConfigLines(Path(args.file).read_text(encoding="utf-8"))
        faults = faults_of(raw, kind, files=not args.no_files)
    told = [(lines.line_of(fault.path), fault.path, fault.message) for fault in faults]
    told += [(line, path, "stands there a second time; the first is ignored") for path, line in lines.twice]
    told.sort(key=lambda one: one[0] or 0)
    if args.json:
        errors = [{"line": line, "path": path, "message": message} for line, path, message in told]
        print(json.dumps({"file": args.file, "for": kind, "errors": errors}, indent=2))
    elif not told:
        print(f"{args.file}: accepted by fastvideo {kind}")
    for line, path, message in () if args.json else told:
        where = args.file if line is None else f"{args.file}:{line}"
        print(f"{where}: {path}: {message}" if path else f"{where}: {message}", file=sys.stderr)
    return 1 if told else 0
