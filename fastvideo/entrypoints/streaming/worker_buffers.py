"""The buffers of a message between a pool and its workers: msgpack of JSON values, or raw bytes."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from fastvideo.api.errors import FastVideoError

Buffer: TypeAlias = bytes | bytearray | memoryview


class WireError(FastVideoError):
    """Bytes that are no message of this protocol; the connection cannot be used any more."""


def packed(value: Any) -> bytes:
    """JSON values as msgpack. Raises WireError for others."""
    try:
        return msgspec.msgpack.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise WireError(f"values that are not JSON: {error}") from error


def at_least(buffers: list[Buffer], count: int) -> list[Buffer]:
    """The buffers, when there are enough; else raises WireError."""
    if len(buffers) < count:
        raise WireError(f"expected at least {count} buffers, got {len(buffers)}")
    return buffers


def exactly(buffers: list[Buffer], count: int) -> list[Buffer]:
    """The buffers, when there are so many; else raises WireError."""
    if len(buffers) != count:
        raise WireError(f"expected {count} buffers, got {len(buffers)}")
    return buffers
