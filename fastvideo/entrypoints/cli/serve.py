"""``fastvideo serve``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

from fastvideo.api.errors import ConfigValidationError
from fastvideo.entrypoints.cli.cli_types import CLISubcommand
from fastvideo.entrypoints.cli.inference_config import build_serve_config


class ServeSubcommand(CLISubcommand):
    """Serve the live stream and its page from a config file."""

    name = "serve"
    takes_overrides = True

    def subparser_init(self, subparsers: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = subparsers.add_parser(
            self.name,
            help="serve the live stream and its page",
            description="Serve the live stream and its page from a config file.",
            epilog="Any key of the file can be set on the command line: --streaming.max_sessions 8 --server.port 9000. "
            "configs/reference.yaml explains every key.",
        )
        parser.add_argument("--config", required=True, metavar="FILE", help="a serve config, .yaml or .json")
        return parser

    def cmd(self, args: argparse.Namespace, overrides: Sequence[str]) -> int:
        config = build_serve_config(args, overrides)
        if config.streaming is None:
            raise ConfigValidationError(
                "streaming", "is missing; a serve config needs a 'streaming:' block, even empty"
            )
        # Threads of a model on the CPU spin while they wait for each other, unless told not to before it is loaded;
        # a browser on the same machine would wait with them.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        from fastvideo.entrypoints.streaming.server import run_server

        run_server(config)
        return 0
