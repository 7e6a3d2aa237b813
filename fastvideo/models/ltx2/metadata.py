"""Typed reading of the JSON sections that a checkpoint's metadata carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from fastvideo.api.errors import CheckpointError


def read_fields(config_type: type[Any], section: Mapping[str, Any]) -> dict[str, Any]:
    """Values of ``section`` for those fields of a config dataclass that it names; the type must match the default's.

    A list becomes a tuple of the default's length. Keys without a field are left to ``require_values`` or to the strict
    loading of tensors. Raises CheckpointError naming the key.
    """
    values = {}
    for field in fields(config_type):
        if field.name in section:
            if field.default is MISSING:
                raise TypeError(f"{config_type.__name__}.{field.name} has no default to take the expected type from")
            values[field.name] = _converted(field.name, section[field.name], field.default)
    return values


def require_values(section: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Refuse a section in which a key that changes the arithmetic, but no tensor, differs from the only value we build.

    A missing key passes: official files leave out what has its default. Raises CheckpointError naming the key.
    """
    for key, value in expected.items():
        if key in section and section[key] != value:
            raise CheckpointError(
                f"metadata key {key!r} is {section[key]!r}, but only {value!r} is supported; use an LTX-2.0 or 2.3 file"
            )


def _converted(key: str, value: Any, default: Any) -> Any:
    if isinstance(default, tuple):
        if isinstance(value, (list, tuple)) and len(value) == len(default):
            return tuple(_converted(f"{key}[{i}]", item, default[i]) for i, item in enumerate(value))
    elif isinstance(default, bool) or isinstance(value, bool):
        if isinstance(default, bool) and isinstance(value, bool):
            return value
    elif isinstance(default, int):
        if isinstance(value, (int, float)) and value == int(value):
            return int(value)
    elif isinstance(default, float):
        if isinstance(value, (int, float)):
            return float(value)
    elif isinstance(value, type(default)):
        return value
    wanted = f"a list of {len(default)}" if isinstance(default, tuple) else type(default).__name__
    raise CheckpointError(f"metadata key {key!r}: expected {wanted}, got {value!r}")
