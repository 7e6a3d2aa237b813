"""Spans over what a server does, and where they go: nowhere, unless ``server.tracing`` names a collector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from fastvideo.api.tracing_config import TracingConfig
from fastvideo.entrypoints.streaming.store_urls import missing_extra

Attributes: TypeAlias = Mapping[str, str | int | float | bool]


class Span:
    """A part of a session's way, until :meth:`end`. This one is kept by nobody, and costs nothing.

    Times are nanoseconds since 1970; None is now. Attributes never hold what clients wrote.
    """

    def child(self, name: str, attributes: Attributes | None = None, *, begin_ns: int | None = None) -> Span:
        """A part of this part."""
        return self

    def tell(self, attributes: Attributes) -> None:
        """Add what is known now."""

    def fail(self, code: str) -> None:
        """It went wrong, with an error of this stable code."""

    def end(self, end_ns: int | None = None) -> None:
        """It is over; the first time counts."""


class Tracing:
    """Makes the spans of one server. This one makes none."""

    def begin(self, name: str, attributes: Attributes | None = None) -> Span:
        """A span that is no part of another."""
        return Span()

    async def aclose(self) -> None:
        """Hand over what is left, within a bound; nothing follows."""


def open_tracing(config: TracingConfig) -> Tracing:
    """What the config asks for. Raises ConfigValidationError when packages for it are not installed."""
    if config.endpoint is None:
        return Tracing()
    try:
        from fastvideo.entrypoints.streaming.collected_tracing import CollectedTracing
    except ModuleNotFoundError as error:
        raise missing_extra("server.tracing.endpoint", "tracing") from error
    return CollectedTracing(config)
