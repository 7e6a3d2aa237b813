"""Which value wins when a client, an operator, a preset and the schema all have one."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.request_metadata import get_explicit_paths, value_at
from fastvideo.api.schema import GenerationRequest


def resolve_request(
    client: GenerationRequest | None,
    *,
    default_request: GenerationRequest | None = None,
    preset_defaults: Mapping[str, Any] | None = None,
) -> GenerationRequest:
    """One request from all sources, the highest first: what the client set, what the operator set, the preset, the
    schema. Every entry point uses this function. The arguments are left alone.

    ``preset_defaults`` holds field names of the request (``negative_prompt``) and of ``SamplingConfig`` (``fps``).
    The result's explicit fields are those that any of the sources set.
    """
    resolved = GenerationRequest()
    for name, value in (preset_defaults or {}).items():
        _set_path(resolved, _preset_path(resolved, name), value)
    for source in (default_request, client):
        if source is not None:
            for path in sorted(get_explicit_paths(source)):
                _set_path(resolved, path, value_at(source, path))
    return resolved


def _preset_path(request: GenerationRequest, name: str) -> str:
    for owner, prefix in ((request.sampling, "sampling."), (request, "")):
        if any(spec.name == name for spec in fields(owner)):
            return f"{prefix}{name}"
    raise ConfigValidationError(name, "a preset sets a field that requests do not have")


def _set_path(request: GenerationRequest, path: str, value: Any) -> None:
    target: Any = request
    names = path.split(".")
    for name in names[:-1]:
        if is_dataclass(target):
            # Read through the attribute, then write back, so that a mapping counts as set.
            child = getattr(target, name)
            if isinstance(child, dict):
                setattr(target, name, child)
            target = child
        else:
            target = target.setdefault(name, {})
    copied = _copied(value)
    if is_dataclass(target):
        setattr(target, names[-1], copied)
    else:
        target[names[-1]] = copied


def _copied(value: Any) -> Any:
    # Containers are copied so that requests never share them; images, tensors and large states are only read.
    return copy.copy(value) if isinstance(value, list | dict) else value
