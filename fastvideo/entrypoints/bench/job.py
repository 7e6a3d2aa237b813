"""A job of the HTTP API, as it is asked for and as it went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from fastvideo.entrypoints.bench.summary import Summary, summarise


class Task(StrEnum):
    """What is made of what."""

    TEXT_TO_VIDEO = "text-to-video"
    IMAGE_TO_VIDEO = "image-to-video"
    TEXT_TO_IMAGE = "text-to-image"
    IMAGE_TO_IMAGE = "image-to-image"
    VIDEO_TO_VIDEO = "video-to-video"

    @property
    def gives_video(self) -> bool:
        """Whether a video comes of it."""
        return self in (Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO, Task.VIDEO_TO_VIDEO)

    @property
    def takes_image(self) -> bool:
        """Whether it begins with an image."""
        return self in (Task.IMAGE_TO_VIDEO, Task.IMAGE_TO_IMAGE)


@dataclass(frozen=True)
class JobRequest:
    """What is asked for. ``image``: the first image as a ``data:`` URL; None of the rest leaves it to the server."""

    prompt: str
    task: Task = Task.TEXT_TO_VIDEO
    model: str | None = None
    width: int | None = None
    height: int | None = None
    num_frames: int | None = None
    fps: int | None = None
    image: str | None = field(default=None, repr=False)

    def body(self) -> dict[str, Any]:
        """The JSON of the request."""
        wanted: dict[str, Any] = {"prompt": self.prompt, "model": self.model}
        if self.width is not None and self.height is not None:
            wanted["size"] = f"{self.width}x{self.height}"
        if self.task.gives_video:
            wanted |= {"num_frames": self.num_frames, "fps": self.fps, "input_reference": self.image}
        elif self.image is not None:
            wanted["url"] = self.image
        return {name: value for name, value in wanted.items() if value is not None}


@dataclass
class JobOutcome:
    """How a job went: ``fault`` is None when it was made, else what went wrong. ``due_s``, ``sent_s`` and ``ended_s``
    are times: when it was to be sent, was sent (later, when enough others ran), and was over."""

    due_s: float
    sent_s: float | None = None
    ended_s: float | None = None
    fault: str | None = None
    video_s: float | None = None
    server_s: float | None = None
    peak_memory_mb: float | None = None

    @property
    def completed(self) -> bool:
        """Whether it was made."""
        return self.ended_s is not None and self.fault is None

    @property
    def latency_s(self) -> float | None:
        """From sending it until it was made, None if it was not."""
        if self.fault is not None or self.ended_s is None or self.sent_s is None:
            return None
        return self.ended_s - self.sent_s


@dataclass(frozen=True)
class JobMetrics:
    """What many jobs come to. Latencies and times in seconds; ``unfinished``: given up when the run was broken off."""

    duration: float
    completed: int
    failed: int
    unfinished: int
    throughput_qps: float
    video_seconds_per_second: float
    latency: Summary | None
    server_time: Summary | None
    held_back: Summary | None
    failures: dict[str, int]
    peak_memory_mb_max: float | None
    peak_memory_mb_mean: float | None
    peak_memory_mb_median: float | None

    @property
    def latency_mean(self) -> float | None:
        """Mean of the latencies."""
        return self.latency.mean if self.latency else None

    @property
    def latency_median(self) -> float | None:
        """Half of the latencies are below it."""
        return self.latency.p50 if self.latency else None

    @property
    def latency_p99(self) -> float | None:
        """One in a hundred is above it."""
        return self.latency.p99 if self.latency else None


def calculate_metrics(outcomes: Sequence[JobOutcome], total_duration: float) -> JobMetrics:
    """The metrics of jobs that took ``total_duration`` seconds in all."""
    done = [one for one in outcomes if one.completed]
    failures: dict[str, int] = {}
    for one in outcomes:
        if one.fault is not None:
            failures[one.fault] = failures.get(one.fault, 0) + 1
    memory = summarise([one.peak_memory_mb for one in done if one.peak_memory_mb is not None])
    per_s = 1.0 / total_duration if total_duration > 0 else 0.0
    return JobMetrics(
        duration=total_duration,
        completed=len(done),
        failed=sum(failures.values()),
        unfinished=len(outcomes) - len(done) - sum(failures.values()),
        throughput_qps=len(done) * per_s,
        video_seconds_per_second=sum(one.video_s or 0.0 for one in done) * per_s,
        latency=summarise([one.latency_s for one in done if one.latency_s is not None]),
        server_time=summarise([one.server_s for one in done if one.server_s is not None]),
        held_back=summarise([one.sent_s - one.due_s for one in outcomes if one.sent_s is not None]),
        failures=dict(sorted(failures.items(), key=lambda item: -item[1])),
        peak_memory_mb_max=memory.max if memory else None,
        peak_memory_mb_mean=memory.mean if memory else None,
        peak_memory_mb_median=memory.p50 if memory else None,
    )
