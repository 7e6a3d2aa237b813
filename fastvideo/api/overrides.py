"""Dotted overrides: ``--streaming.max_sessions 8`` on top of a config file."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from fastvideo.api.errors import ConfigValidationError

Overrides = Sequence[str] | Mapping[str, Any] | None
_INTEGER = re.compile(r"[+-]?\d+")
_WORDS: dict[str, Any] = {"true": True, "false": False, "none": None, "null": None}


def parse_cli_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """``--a.b value`` and ``--a.b=value`` to ``{"a.b": value}``; dashes in keys become underscores.

    Raises ValueError for a token that is no option, an empty key, or a missing value.
    """
    overrides: dict[str, Any] = {}
    position = 0
    while position < len(arguments):
        token = arguments[position]
        if not token.startswith("--"):
            raise ValueError(f"expected an override such as --server.port 8000, got {token!r}")
        key, separator, text = token[2:].partition("=")
        position += 1
        if not separator:
            if position == len(arguments) or arguments[position].startswith("--"):
                raise ValueError(f"the override {token!r} has no value")
            text = arguments[position]
            position += 1
        key = key.replace("-", "_")
        if not all(key.split(".")):
            raise ValueError(f"expected a dotted key such as --server.port, got {token!r}")
        overrides[key] = cast_value(text)
    return overrides


def cast_value(text: str) -> Any:
    """A command-line word as bool, None, int, float, list or mapping, else the string itself."""
    lowered = text.strip().lower()
    if lowered in _WORDS:
        return _WORDS[lowered]
    if _INTEGER.fullmatch(text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        pass
    if text[:1] in ("[", "{"):
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            raise ValueError(f"expected a YAML list or mapping, got {text!r}") from None
    return text


def normalize_overrides(overrides: Overrides) -> dict[str, Any]:
    """Command-line words, a mapping or None as one mapping of dotted keys."""
    if overrides is None:
        return {}
    if isinstance(overrides, Mapping):
        return dict(overrides)
    return parse_cli_overrides(overrides)


def apply_overrides(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A deep copy of ``config`` with the overrides set; missing maps are made, ``config`` is left alone.

    Raises ConfigValidationError when a path crosses a value that is no mapping, ValueError for an empty segment.
    """
    result: dict[str, Any] = copy.deepcopy(dict(config))
    for dotted, value in overrides.items():
        names = dotted.split(".")
        if not all(names):
            raise ValueError(f"expected a dotted key without empty parts, got {dotted!r}")
        target = result
        for depth, name in enumerate(names[:-1]):
            child = target.get(name)
            if child is None:
                child = target[name] = {}
            elif not isinstance(child, dict):
                path = ".".join(names[: depth + 1])
                raise ConfigValidationError(path, f"holds a {type(child).__name__}, so {dotted!r} cannot be set in it")
            target = child
        target[names[-1]] = copy.deepcopy(value)
    return result
