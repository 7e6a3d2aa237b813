"""Config files with dotted overrides, as the command line gives them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from fastvideo.api.overrides import parse_cli_overrides
from fastvideo.api.parser import load_serve_config
from fastvideo.api.schema import ServeConfig
from fastvideo.api.support import check_serve_config

SERVE_SECTIONS = ("generator", "server", "default_request", "streaming", "openai")


def build_serve_config(args: argparse.Namespace, overrides: Sequence[str] | None = None) -> ServeConfig:
    """The serve config of ``args.config`` with overrides such as ``--streaming.max_sessions 8``.

    Raises FileNotFoundError, ValueError for an override of another section, ConfigValidationError for the rest.
    """
    parsed = parse_cli_overrides(overrides or [])
    for key in parsed:
        section, dot, _ = key.partition(".")
        if section not in SERVE_SECTIONS or not dot:
            allowed = ", ".join(f"--{name}.*" for name in SERVE_SECTIONS)
            raise ValueError(f"--{key} is no override of a serve config; overrides are {allowed}")
    return check_serve_config(load_serve_config(args.config, parsed))
