"""Documented fields that this installation, or the selected model, cannot honour.

Such a field parses, so that existing files load, and is refused with its path when it is set to anything but its
default: nothing that a file asks for is dropped without a word.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.schema import ServeConfig


@dataclass(frozen=True)
class UnsupportedField:
    """``path`` is dotted, from the config that is checked; ``accepted`` lists values beside the default that are fine;
    ``reason`` completes the sentence "cannot be set: …"."""

    path: str
    reason: str
    accepted: tuple[Any, ...] = ()


def refuse_unsupported(config: Any, table: Iterable[UnsupportedField], prefix: str = "") -> None:
    """Raise ConfigValidationError for the first field of ``table`` that is set to something that is not honoured.

    Paths that cross an absent (None) part are passed over.
    """
    for entry in table:
        value, default, present = _lookup(config, entry.path)
        if present and value != default and not any(value == other for other in entry.accepted):
            raise ConfigValidationError(f"{prefix}{entry.path}", f"cannot be set to {value!r:.60}: {entry.reason}")


def _lookup(config: Any, path: str) -> tuple[Any, Any, bool]:
    *parents, name = path.split(".")
    owner = config
    for parent in parents:
        owner = getattr(owner, parent)
        if owner is None:
            return None, None, False
    return getattr(owner, name), default_of(owner, name), True


def default_of(owner: Any, name: str) -> Any:
    """The schema default of a dataclass field."""
    assert is_dataclass(owner)
    spec = next(f for f in fields(owner) if f.name == name)
    return spec.default_factory() if spec.default_factory is not MISSING else spec.default


SERVING: tuple[UnsupportedField, ...] = (
    UnsupportedField("streaming.stream_mode", "a segment of JPEG pictures is not offered; use av_fmp4"),
    UnsupportedField("streaming.prompt.enabled", "prompt enhancement is not offered; prompts are used as they come"),
    UnsupportedField("streaming.safety.enabled", "no prompt classifier is built in; put one in front of the server"),
    UnsupportedField(
        "streaming.pool.backend", "only the in-process pool is offered: auto or in_process", ("in_process",)
    ),
    UnsupportedField("streaming.pool.num_workers", "the in-process pool has one worker", (1,)),
)


def check_serve_config(config: ServeConfig) -> ServeConfig:
    """The config itself, when everything it asks of the server is offered; ConfigValidationError otherwise."""
    if config.streaming is not None:
        refuse_unsupported(config, SERVING)
        _check_bounds(config)
    return config


def _check_bounds(config: ServeConfig) -> None:
    streaming = config.streaming
    assert streaming is not None
    at_least_one = (
        "session_timeout_seconds",
        "generation_segment_cap",
        "max_sessions",
        "pool.sessions_per_worker",
        "pool.conditioning_num_frames",
        "warmup.timeout_seconds",
    )
    at_least_zero = (
        "queue.max_length",
        "pacing.lead_seconds",
        "pool.idle_yield_seconds",
        "pool.conditioning_end_offset",
    )
    for low, paths in ((1, at_least_one), (0, at_least_zero)):
        for path in paths:
            value, _, _ = _lookup(streaming, path)
            if value < low:
                raise ConfigValidationError(f"streaming.{path}", f"expected at least {low}, got {value}")
    if (streaming.pool.conditioning_num_frames - 1) % 8:
        raise ConfigValidationError(
            "streaming.pool.conditioning_num_frames",
            f"expected 8k+1 frames (1, 9, 17, ...), got {streaming.pool.conditioning_num_frames}",
        )
    if not 0 <= config.server.port <= 65535:
        raise ConfigValidationError("server.port", f"expected 0 to 65535, got {config.server.port}")
