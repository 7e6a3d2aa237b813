"""``fastvideo keys new NAME``: an API key for a client or an operator."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastvideo.entrypoints.cli.cli_types import CLISubcommand


class KeysSubcommand(CLISubcommand):
    """Makes keys. A server knows hashes only, so that a key is shown once."""

    name = "keys"

    def subparser_init(self, subparsers: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = subparsers.add_parser(
            self.name,
            help="make API keys",
            description="Make API keys for 'fastvideo serve'.",
        )
        new = parser.add_subparsers(dest="action", metavar="ACTION", required=True).add_parser(
            "new",
            help="print a new key once, and what a server needs to know of it",
            description="Print a new key on standard output, once, and on standard error what a server needs to know "
            "of it: an entry of server.auth.keys, which holds a hash and not the key.",
        )
        new.add_argument("name", metavar="NAME", help="whose key it is: letters, digits and . _ @ -")
        new.add_argument("--admin", action="store_true", help="for operators: metrics, prompts, drain")
        new.add_argument("--file", metavar="FILE", help="add it to this server.auth.keys_file (.yaml), or begin one")
        new.add_argument("--json", action="store_true", help="print one JSON object with the key and the entry")
        return parser

    def cmd(self, args: argparse.Namespace, overrides: Sequence[str]) -> int:
        from fastvideo.api.access_config import ApiKeyConfig
        from fastvideo.api.parser import parse_config
        from fastvideo.entrypoints.access.api_keys import key_digest, new_key
        from fastvideo.entrypoints.access.key_file import append_key

        key = new_key()
        entry = parse_config(ApiKeyConfig, {"name": args.name, "sha256": key_digest(key)})
        if args.file is not None:
            append_key(Path(args.file).expanduser(), entry, admin=args.admin)
        if args.json:
            print(json.dumps({"key": key, "name": entry.name, "sha256": entry.sha256, "admin": args.admin}))
            return 0
        print(key)
        listed = "admin_keys" if args.admin else "keys"
        where = f"It is in {args.file}." if args.file is not None else f"Add it to server.auth.{listed}:"
        print(f"This key is shown once. {where}", file=sys.stderr)
        if args.file is None:
            print(f"  - {{name: {json.dumps(entry.name)}, sha256: {entry.sha256}}}", file=sys.stderr)
        return 0
