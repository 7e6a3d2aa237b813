"""Where spans over the sessions of a server go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from fastvideo.api.strict_config import StrictConfig

# Without a user's name: what a collector wants to know of its clients is a secret, and those come from the environment.
CollectorUrl = Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$", max_length=2048)]


@dataclass
class TracingConfig(StrictConfig):
    """Spans for an OpenTelemetry collector; null as ``endpoint``: none are made.

    ``endpoint``: the collector's whole URL for traces in OTLP over HTTP. ``sample_ratio``: the share of sessions that
    have spans, 0 to 1.
    """

    endpoint: CollectorUrl | None = None
    service_name: Annotated[str, Field(min_length=1, max_length=255)] = "fastvideo"
    sample_ratio: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
