"""``fastvideo router-serve``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from fastvideo.entrypoints.cli.cli_types import CLISubcommand


class RouterServeSubcommand(CLISubcommand):
    """Serve one address for several servers, from a config file."""

    name = "router-serve"

    def subparser_init(self, subparsers: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = subparsers.add_parser(
            self.name,
            help="serve one address for several servers",
            description="Spread sessions over several 'fastvideo serve' from one address.",
            epilog="configs/router.yaml explains every key. SIGHUP has the file read again; SIGTERM drains.",
        )
        parser.add_argument("--config", required=True, metavar="FILE", help="a router config, .yaml or .json")
        return parser

    def cmd(self, args: argparse.Namespace, overrides: Sequence[str]) -> int:
        from fastvideo.entrypoints.streaming.router.config import load_router_config

        config = load_router_config(args.config)
        from fastvideo.entrypoints.streaming.router.process import run_router

        run_router(config, reload=lambda: load_router_config(args.config))
        return 0
