"""``fastvideo serve``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

from fastvideo.entrypoints.cli.cli_types import CLISubcommand


class ServeSubcommand(CLISubcommand):
    """Serve the live stream and its page, the OpenAI-style API, or both, from a config file."""

    name = "serve"
    takes_overrides = True

    def subparser_init(self, subparsers: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = subparsers.add_parser(
            self.name,
            help="serve the live stream and its page, and the OpenAI-style API",
            description="Serve the live stream and its page ('streaming:' in the config file), the OpenAI-style API "
            "('openai:'), or both; without either, the API.",
            epilog="Any key of the file can be set on the command line: --streaming.max_sessions 8 --server.port 9000. "
            "configs/reference.yaml explains every key.",
        )
        parser.add_argument("--config", required=True, metavar="FILE", help="a serve config, .yaml or .json")
        return parser

    def cmd(self, args: argparse.Namespace, overrides: Sequence[str]) -> int:
        from fastvideo.entrypoints.cli.inference_config import build_serve_config

        config = build_serve_config(args, overrides)
        # Threads of a model on the CPU spin while they wait for each other, unless told not to before it is loaded;
        # a browser on the same machine would wait with them.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        if config.streaming is None:
            from fastvideo.entrypoints.openai.api_server import run_server
        else:
            from fastvideo.entrypoints.streaming.server import run_server
        run_server(config)
        return 0
