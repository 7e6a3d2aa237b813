"""What a server counts, in a registry of its own."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from fastvideo.entrypoints.streaming.pool_base import WORKER_STATES, WorkerStanding

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SEGMENT_SECONDS = (0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 7.5, 10, 15, 30, 60, 120)
_STAGE_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60)
_FIRST_FRAGMENT_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30)


class Metrics:
    """Prometheus metrics named ``fastvideo_*``."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.sessions = Gauge("fastvideo_sessions", "Sessions that live now.", registry=registry)
        self.queue = Gauge("fastvideo_queued_sessions", "Sessions that wait for a worker.", registry=registry)
        self.ended = Counter("fastvideo_sessions_ended", "Sessions that ended.", ["reason"], registry=registry)
        self.segments = Counter(
            "fastvideo_segments", "Segments by what became of them.", ["outcome"], registry=registry
        )
        self.enhancements = Counter(
            "fastvideo_prompt_enhancements",
            "Prompts that a language model was asked about, by what came of it.",
            ["operation", "outcome"],
            registry=registry,
        )
        self.segment_seconds = Histogram(
            "fastvideo_segment_seconds",
            "From asking for a segment to its last byte at the socket.",
            buckets=_SEGMENT_SECONDS,
            registry=registry,
        )
        self.stage_seconds = Histogram(
            "fastvideo_segment_stage_seconds",
            "Where the time of whole segments went, by stage.",
            ["stage"],
            buckets=_STAGE_SECONDS,
            registry=registry,
        )
        self.first_fragment_seconds = Histogram(
            "fastvideo_first_fragment_seconds",
            "From asking for a segment to its first fragment.",
            buckets=_FIRST_FRAGMENT_SECONDS,
            registry=registry,
        )
        self.stalls = Counter("fastvideo_stalls", "Times that players said they ran dry.", registry=registry)
        self.deadline_misses = Counter(
            "fastvideo_deadline_misses",
            "Segments that began after their viewer had run out of media.",
            registry=registry,
        )
        self.workers = Gauge("fastvideo_workers", "Workers by what they do now.", ["state"], registry=registry)
        self.worker_restarts = Counter(
            "fastvideo_worker_restarts", "Worker processes that were lost, and are replaced.", registry=registry
        )
        self._restarts_told = 0
        self.sent_bytes = Counter("fastvideo_sent_bytes", "Bytes sent to clients.", ["kind"], registry=registry)
        self.recordings = Counter(
            "fastvideo_recordings_cut_short",
            "Recordings that ended before their session.",
            ["reason"],
            registry=registry,
        )
        self.rejected = Counter(
            "fastvideo_rejected", "Requests and connections that were turned away.", ["reason"], registry=registry
        )
        self.jobs = Gauge("fastvideo_jobs", "Jobs of the HTTP API that wait and run.", ["state"], registry=registry)
        self.jobs_ended = Counter(
            "fastvideo_jobs_ended", "Jobs that ended, by kind and how.", ["kind", "status"], registry=registry
        )
        self.errors = Counter("fastvideo_errors", "Error messages sent.", ["code"], registry=registry)

    def tell_workers(self, workers: Iterable[WorkerStanding]) -> None:
        """How all workers stand now."""
        found = list(workers)
        for state in WORKER_STATES:
            self.workers.labels(state).set(sum(worker.state == state for worker in found))
        restarts = sum(worker.restarts for worker in found)
        self.worker_restarts.inc(restarts - self._restarts_told)
        self._restarts_told = restarts

    def exposition(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self._registry)
