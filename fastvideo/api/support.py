"""Documented fields that this installation, or the selected model, cannot honour.

Such a field parses, so that existing files load, and is refused with its path when it is set to anything but its
default: nothing that a file asks for is dropped without a word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from fastvideo.api.errors import ConfigValidationError, LimitExceeded
from fastvideo.api.limits import request_faults
from fastvideo.api.precedence import resolve_request
from fastvideo.api.schema import ServeConfig, StreamingConfig

SERVING_REASONS: Mapping[str, str] = {
    "streaming.stream_mode": "media is sent as fragmented MP4; a stream of JPEG pictures is not offered",
}


def refuse_unsupported(
    actual: Any, default: Any, reasons: Mapping[str, str], same_as_default: Mapping[str, Collection[Any]] | None = None
) -> None:
    """Raise the first of :func:`unsupported`."""
    for fault in unsupported(actual, default, reasons, same_as_default):
        raise fault


def unsupported(
    actual: Any, default: Any, reasons: Mapping[str, str], same_as_default: Mapping[str, Collection[Any]] | None = None
) -> Iterator[ConfigValidationError]:
    """A ConfigValidationError for every path of ``reasons`` at which ``actual`` is not what ``default`` is.

    ``reasons`` says per dotted path why nothing else is honoured, ``same_as_default`` lists values that mean the same.
    """
    for path, reason in reasons.items():
        value, expected = value_at(actual, path), value_at(default, path)
        # None by identity: an array that somebody passes has no single truth value.
        if value is not None if expected is None else value != expected:
            if value in (same_as_default or {}).get(path, ()):
                continue
            yield ConfigValidationError(path, f"only {expected!r} is supported ({reason})")


def value_at(config: Any, path: str) -> Any:
    """The value at a dotted path of nested dataclasses."""
    for name in path.split("."):
        config = getattr(config, name)
    return config


def check_serve_config(config: ServeConfig) -> ServeConfig:
    """The config itself, when everything it asks of the server is offered; ConfigValidationError otherwise."""
    for fault in serve_config_faults(config):
        raise fault
    return config


def serve_config_faults(config: ServeConfig) -> Iterator[ConfigValidationError]:
    """A ConfigValidationError for everything that the config asks of the server and is not offered."""
    streaming = config.streaming or StreamingConfig()
    if config.streaming is not None:
        default = ServeConfig(generator=config.generator, streaming=StreamingConfig())
        yield from unsupported(config, default, SERVING_REASONS)
    yield from _bounds_faults(config, streaming)
    for fault in request_faults(resolve_request(None, default_request=config.default_request), streaming.limits):
        yield LimitExceeded(f"default_request.{fault.path}", f"{fault.message}; change it, or streaming.limits")


def _bounds_faults(config: ServeConfig, streaming: StreamingConfig) -> Iterator[ConfigValidationError]:
    at_least_one = (
        "session_timeout_seconds",
        "generation_segment_cap",
        "max_sessions",
        "pool.num_workers",
        "pool.sessions_per_worker",
        "pool.conditioning_num_frames",
        "warmup.timeout_seconds",
        "prompt.timeout_ms",
    )
    at_least_zero = (
        "queue.max_length",
        "pacing.lead_seconds",
        "pool.idle_yield_seconds",
        "pool.conditioning_end_offset",
        "prompt.hedge_after_ms",
    )
    for low, paths in ((1, at_least_one), (0, at_least_zero)):
        for path in paths:
            value = value_at(streaming, path)
            if value is not None and value < low:
                yield ConfigValidationError(f"streaming.{path}", f"expected at least {low}, got {value}")
    for path in ("pool.segment_timeout_seconds", "pool.worker_memory_gib"):
        value = value_at(streaming, path)
        if value is not None and value <= 0:
            yield ConfigValidationError(f"streaming.{path}", f"expected more than 0, got {value}")
    if streaming.pool.backend == "in_process" and (streaming.pool.num_workers or 1) > 1:
        yield ConfigValidationError(
            "streaming.pool.num_workers",
            f"the pool in the server's process has one worker, got {streaming.pool.num_workers}; "
            "set streaming.pool.backend to subprocess",
        )
    if streaming.pool.ray_address is not None and streaming.pool.backend != "ray":
        yield ConfigValidationError(
            "streaming.pool.ray_address",
            f"expected null unless streaming.pool.backend is ray, which is {streaming.pool.backend}",
        )
    if (streaming.pool.conditioning_num_frames - 1) % 8:
        yield ConfigValidationError(
            "streaming.pool.conditioning_num_frames",
            f"expected 8k+1 frames (1, 9, 17, ...), got {streaming.pool.conditioning_num_frames}",
        )
    if streaming.safety.enabled and not streaming.safety.classifier_path:
        yield ConfigValidationError(
            "streaming.safety.classifier_path",
            "expected the path of a fastText model, as streaming.safety.enabled is true; got none",
        )
    if not 0 <= config.server.port <= 65535:
        yield ConfigValidationError("server.port", f"expected 0 to 65535, got {config.server.port}")
