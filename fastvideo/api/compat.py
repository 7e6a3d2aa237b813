"""Typed helpers at the boundary between requests and generators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastvideo.api.continuation_kinds import check_continuation_state, register_continuation_kind
from fastvideo.api.parser import parse_config
from fastvideo.api.request_metadata import bind_generation_request_raw, get_explicit_paths, is_bound, value_at
from fastvideo.api.schema import GenerationRequest

__all__ = ["explicit_request_updates", "normalize_generation_request", "register_continuation_kind"]

_PARTS = ("inputs", "sampling", "runtime", "output")


def normalize_generation_request(request: GenerationRequest | Mapping[str, Any]) -> GenerationRequest:
    """A bound, checked request from a request or a mapping.

    Raises ConfigValidationError for a malformed mapping, StateInvalid for a state of an unknown kind.
    """
    parsed = parse_config(GenerationRequest, request)
    if not is_bound(parsed):
        # Built around its constructor (an unpickled foreign object): nothing is known to be set.
        bind_generation_request_raw(parsed, None)
    if parsed.state is not None:
        check_continuation_state(parsed.state)
    return parsed


def explicit_request_updates(request: GenerationRequest) -> dict[str, Any]:
    """The explicitly set fields, flat by field name, without the prompt, the state and the plan.

    Stage overrides keep their dotted names, because two stages may set the same key. Raises ValueError when the request
    does not know which fields were set.
    """
    updates: dict[str, Any] = {}
    for path in sorted(get_explicit_paths(request)):
        head, _, rest = path.partition(".")
        if head == "negative_prompt" or head == "stage_overrides":
            updates[path] = value_at(request, path)
        elif head in _PARTS or (head == "extensions" and rest):
            updates[rest] = value_at(request, path)
    return updates
