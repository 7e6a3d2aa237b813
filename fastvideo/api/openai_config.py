"""The OpenAI-style HTTP API: where results and jobs lie, and their bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from fastvideo.api.strict_config import StrictConfig


@dataclass
class OpenAIConfig(StrictConfig):
    """The OpenAI-style HTTP API: videos and images as jobs.

    ``results``: where their files lie, ``file:/folder`` or ``s3://bucket/prefix``; None is the folder ``results`` of
    ``server.output_dir``.
    ``jobs``: where what is known of them lies (``memory:``, ``file:/folder``, ``redis://host:port/db``); None is beside
    the results. ``max_running``: jobs whose segments take turns with those of sessions; ``max_queued``: jobs that may
    wait, one more is refused. ``keep_seconds``, ``max_kept`` and ``max_bytes`` bound what is kept of jobs that ended:
    the oldest go first. ``max_seconds``: of one video. ``listing``: who may list them where no keys are asked for;
    whoever knows a job's id may then see and remove that one.
    """

    results: str | None = None
    jobs: str | None = None
    max_running: PositiveInt = 2
    max_queued: PositiveInt = 256
    keep_seconds: PositiveInt = 86_400
    max_kept: PositiveInt = 1000
    max_bytes: PositiveInt = 10_737_418_240
    max_seconds: PositiveFloat = 60.0
    listing: Literal["loopback", "everyone", "nobody"] = "loopback"
