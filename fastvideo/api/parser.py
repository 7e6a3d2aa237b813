"""Strict parsing of config mappings and files into the dataclasses of :mod:`fastvideo.api.schema`."""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.overrides import Overrides, apply_overrides, normalize_overrides
from fastvideo.api.request_metadata import (
    bind_generation_request_raw,
    bind_run_config_raw,
    bind_serve_config_raw,
)
from fastvideo.api.schema import GenerationRequest, RunConfig, ServeConfig

T = TypeVar("T")
_UNKNOWN_KEY = "unknown key"


def parse_config(config_type: type[T], raw: Any) -> T:
    """An instance of ``config_type`` from a mapping; an instance is returned unchanged.

    Raises ConfigValidationError with the dotted path of the first fault: an unknown key (with the nearest known one),
    a missing field, a wrong type, a value outside its set.
    """
    if isinstance(raw, config_type):
        return raw
    parsed: T
    parsed, faults = _validated(config_type, raw)
    if faults:
        # Unknown keys first: a misspelt key often explains the missing one beside it.
        raise min(faults, key=lambda fault: not fault.message.startswith(_UNKNOWN_KEY))
    if isinstance(parsed, GenerationRequest):
        bind_generation_request_raw(parsed, raw)
    elif isinstance(parsed, RunConfig):
        bind_run_config_raw(parsed, raw)
    elif isinstance(parsed, ServeConfig):
        bind_serve_config_raw(parsed, raw)
    return parsed


def config_faults(config_type: type[Any], raw: Any) -> list[ConfigValidationError]:
    """Every fault of a mapping, in the order of the type's fields; none where :func:`parse_config` takes it."""
    return _validated(config_type, raw)[1]


def config_schema(config_type: type[Any]) -> dict[str, Any]:
    """What files of ``config_type`` may hold, as JSON Schema (draft 2020-12)."""
    adapter: TypeAdapter[Any] = _adapter(config_type)  # type: ignore[arg-type]  # every class is hashable
    return adapter.json_schema()


def _validated(config_type: type[Any], raw: Any) -> tuple[Any, list[ConfigValidationError]]:
    """An instance, or the faults that keep ``raw`` from being one."""
    if not isinstance(raw, Mapping):
        what = f"expected a mapping for {config_type.__name__}, got {type(raw).__name__}"
        return None, [ConfigValidationError("", what)]
    adapter: TypeAdapter[Any] = _adapter(config_type)  # type: ignore[arg-type]  # every class is hashable
    try:
        return adapter.validate_json(json.dumps(_json_ready(raw, ""))), []
    except RecursionError:
        return None, [ConfigValidationError("", "the mapping is nested too deeply, or contains itself")]
    except ConfigValidationError as error:
        return None, [error]
    except ValidationError as error:
        return None, _faults(config_type, raw, error)


@functools.cache
def _adapter(config_type: Any) -> TypeAdapter[Any]:
    return TypeAdapter(config_type)


def _json_ready(value: Any, path: str) -> Any:
    """``value`` with nested configs as mappings; raises for keys and values that no config file could hold."""
    if is_dataclass(value) and not isinstance(value, type):
        return _json_ready(config_to_dict(value), path)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ConfigValidationError(path, f"expected keys that are strings, got {key!r}")
        return {key: _json_ready(child, f"{path}.{key}" if path else key) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_json_ready(child, f"{path}[{index}]") for index, child in enumerate(value)]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ConfigValidationError(
        path, f"expected a JSON value, got {type(value).__name__}; set objects on the dataclass instead of the mapping"
    )


def _faults(config_type: type[Any], raw: Mapping[str, Any], error: ValidationError) -> list[ConfigValidationError]:
    """One fault per place, as a union has one per member."""
    places: dict[str, list[Any]] = {}
    for item in error.errors(include_url=False, include_context=True):
        places.setdefault(_dotted_path(config_type, raw, item["loc"])[0], []).append(item)
    return [_fault(config_type, raw, path, items) for path, items in places.items()]


def _fault(config_type: type[Any], raw: Mapping[str, Any], path: str, items: list[Any]) -> ConfigValidationError:
    fault = items[0]
    kind = fault["type"]
    if kind == "unexpected_keyword_argument":
        leaf_type = _dotted_path(config_type, raw, fault["loc"])[1]
        name = str(fault["loc"][-1])
        known = sorted(f.name for f in fields(leaf_type)) if is_dataclass(leaf_type) else []
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"
        return ConfigValidationError(path, f"{_UNKNOWN_KEY}; {hint}")
    if kind == "missing":
        return ConfigValidationError(path, "is required and missing")
    wanted = " or ".join(dict.fromkeys(_wanted(item) for item in items))
    return ConfigValidationError(path, f"expected {wanted}, got {_shown(fault['input'])}")


def _wanted(fault: Any) -> str:
    message: str = fault["msg"]
    for prefix in ("Input should be ", "Value should be "):
        message = message.removeprefix(prefix)
    return {"dataclass_type": "a mapping", "list_type": "a list", "dict_type": "a mapping"}.get(fault["type"], message)


def _shown(value: Any) -> str:
    text = json.dumps(value) if value is None or isinstance(value, str | bool | int | float) else type(value).__name__
    return f"{text} ({type(value).__name__})" if len(text) <= 80 else f"a {type(value).__name__}"


def _dotted_path(config_type: Any, raw: Any, location: tuple[Any, ...]) -> tuple[str, Any]:
    """The path inside ``raw``, without the union members that pydantic adds, and the type that holds the last item."""
    path, holder, current = "", config_type, config_type
    for index, item in enumerate(location):
        if isinstance(item, int) and isinstance(raw, list):
            path += f"[{item}]"
            raw = raw[item] if item < len(raw) else None
            holder, current = current, _item_type(current)
        elif isinstance(item, str) and isinstance(raw, Mapping) and (item in raw or index == len(location) - 1):
            path += f".{item}" if path else item
            holder, current = current, _field_type(current, item)
            raw = raw.get(item)
    return path, _dataclass_of(holder)


def _dataclass_of(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        members = [member for member in get_args(annotation) if member is not NoneType]
        return next((member for member in members if is_dataclass(member)), members[0])
    return annotation


def _field_type(annotation: Any, name: str) -> Any:
    owner = _dataclass_of(annotation)
    return get_type_hints(owner).get(name) if is_dataclass(owner) else None


def _item_type(annotation: Any) -> Any:
    for member in (annotation, *get_args(annotation)):
        if get_origin(member) is list:
            return get_args(member)[0]
    return None


def config_to_dict(config: Any, *, json_safe: bool = False) -> Any:
    """Dataclasses to mappings, recursively; ``parse_config(T, config_to_dict(x)) == x``.

    Other objects pass through as they are. With ``json_safe`` the result can always be dumped as JSON: an object that
    JSON has no form for (an image, a tensor) raises ConfigValidationError with its path.
    """
    return _to_plain(config, "", json_safe)


def _to_plain(value: Any, path: str, json_safe: bool) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        prefix = f"{path}." if path else ""
        return {f.name: _to_plain(getattr(value, f.name), f"{prefix}{f.name}", json_safe) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: _to_plain(child, f"{path}.{key}" if path else str(key), json_safe) for key, child in value.items()}
    if isinstance(value, list) or (json_safe and isinstance(value, tuple)):
        return [_to_plain(child, f"{path}[{index}]", json_safe) for index, child in enumerate(value)]
    if json_safe:
        return _json_ready(value, path)
    return value


def load_raw_config(path: str | Path) -> dict[str, Any]:
    """The mapping in a ``.yaml``, ``.yml`` or ``.json`` file; an empty file is an empty mapping.

    Raises FileNotFoundError, ValueError for another suffix, ConfigValidationError for text that is not a mapping.
    """
    file = Path(path)
    if file.suffix not in (".yaml", ".yml", ".json"):
        raise ValueError(f"expected a config file ending in .yaml, .yml or .json, got {file.name!r}")
    if not file.is_file():
        raise FileNotFoundError(f"there is no config file {str(path)!r}")
    text = file.read_text(encoding="utf-8")
    try:
        raw = json.loads(text) if file.suffix == ".json" and text.strip() else yaml.safe_load(text)
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        raise ConfigValidationError("", f"{file.name} cannot be read: {_one_line(error)}") from None
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise ConfigValidationError("", f"expected a mapping at the top of {file.name}, got {type(raw).__name__}")
    return raw


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def load_config(config_type: type[T], path: str | Path, overrides: Overrides = None) -> T:
    """A config file with dotted overrides applied before parsing."""
    return parse_config(config_type, apply_overrides(load_raw_config(path), normalize_overrides(overrides)))


def load_run_config(path: str | Path, overrides: Overrides = None) -> RunConfig:
    """A file for ``fastvideo generate``."""
    return load_config(RunConfig, path, overrides)


def load_serve_config(path: str | Path, overrides: Overrides = None) -> ServeConfig:
    """A file for ``fastvideo serve``."""
    return load_config(ServeConfig, path, overrides)
