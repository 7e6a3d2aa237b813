"""Config files with dotted overrides, as the command line gives them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.overrides import apply_overrides, parse_cli_overrides
from fastvideo.api.parser import load_raw_config, load_serve_config, parse_config
from fastvideo.api.request_metadata import get_explicit_paths
from fastvideo.api.schema import RunConfig, ServeConfig
from fastvideo.api.support import check_serve_config

SERVE_SECTIONS = ("generator", "server", "default_request", "streaming", "openai")
RUN_SECTIONS = ("generator", "request")

# The options of ``generate`` that stand for a key of its file.
_OPTIONS = {
    "model": "generator.model_path",
    "lora": "generator.pipeline.components.lora_path",
    "prompt": "request.prompt",
    "prompt_file": "request.inputs.prompt_path",
    "image": "request.inputs.image_path",
    "output": "request.output.output_path",
}


def build_serve_config(args: argparse.Namespace, overrides: Sequence[str] | None = None) -> ServeConfig:
    """The serve config of ``args.config`` with overrides such as ``--streaming.max_sessions 8``.

    Raises FileNotFoundError, ValueError for an override of another section, ConfigValidationError for the rest.
    """
    parsed = _section_overrides(overrides, SERVE_SECTIONS, "serve")
    return check_serve_config(load_serve_config(args.config, parsed))


def build_generate_run_config(args: argparse.Namespace, overrides: Sequence[str] | None = None) -> RunConfig:
    """The run config of ``args.config`` with options and overrides on top; see :func:`run_mapping`.

    Frames are not given back unless they are asked for. Raises as :func:`run_mapping` and :func:`parse_run` do.
    """
    return parse_run(run_mapping(args, overrides))


def run_mapping(args: argparse.Namespace, overrides: Sequence[str] | None = None) -> dict[str, Any]:
    """What a run file of ``args.config``, the options of ``generate`` and overrides such as
    ``--request.sampling.seed 3`` say together; the later wins.

    Raises ValueError without a file and a model, and for an override of another section; FileNotFoundError.
    """
    parsed = _section_overrides(overrides, RUN_SECTIONS, "run")
    chosen = {path: getattr(args, option, None) for option, path in _OPTIONS.items()}
    given = {path: _single(value) for path, value in chosen.items() if value is not None}
    changes = given | parsed
    if args.config is None and "generator.model_path" not in changes:
        raise ValueError("expected --config FILE, or --model such as embedded:")
    raw = {} if args.config is None else load_raw_config(args.config)
    if "generator" not in raw and args.config is not None:
        raise ConfigValidationError("generator", f"is required and missing in {args.config}")
    others = sorted(set(raw) - set(RUN_SECTIONS))
    if "request" not in raw and set(others) & set(SERVE_SECTIONS):
        raise ConfigValidationError(others[0], f"{args.config} is a file for 'fastvideo serve'; see docs/cli.md")
    request = raw.get("request")
    if isinstance(request, dict):
        # Prompts of options take the place of those of the file, whichever way each gives them.
        if "request.prompt" in given and isinstance(request.get("inputs"), dict):
            request["inputs"].pop("prompt_path", None)
        elif "request.inputs.prompt_path" in given:
            request.pop("prompt", None)
    return apply_overrides({"request": {}} | raw, changes)


def parse_run(raw: Mapping[str, Any]) -> RunConfig:
    """A run config for ``generate``. Raises ConfigValidationError, also for no prompt, or prompts and a file."""
    config = parse_config(RunConfig, raw)
    if config.generator.engine.num_gpus < 1:
        raise ConfigValidationError(
            "generator.engine.num_gpus", f"expected at least 1, got {config.generator.engine.num_gpus}"
        )
    given = [config.request.prompt is not None, config.request.inputs.prompt_path is not None]
    if sum(given) != 1:
        both = "both" if all(given) else "neither"
        raise ConfigValidationError(
            "request.prompt", f"expected a prompt (--prompt), or a file of them (--prompt-file), got {both}"
        )
    if "output.return_frames" not in get_explicit_paths(config.request):
        config.request.output.return_frames = False
    return config


def _single(value: Any) -> Any:
    """An option that may be given several times, once given, is no list."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _section_overrides(overrides: Sequence[str] | None, sections: Sequence[str], kind: str) -> dict[str, Any]:
    parsed = parse_cli_overrides(overrides or [])
    for key in parsed:
        section, dot, _ = key.partition(".")
        if section not in sections or not dot:
            allowed = ", ".join(f"--{name}.*" for name in sections)
            raise ValueError(f"--{key} is no override of a {kind} config; overrides are {allowed}")
    return parsed
