"""What a router counts, in a registry of its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from fastvideo.entrypoints.streaming.router.registry import ReplicaRegistry

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class RouterMetrics:
    """Prometheus metrics named ``fastvideo_router_*``; replicas by name, or else by address."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.sessions = Gauge("fastvideo_router_sessions", "Sessions open now.", ["replica"], registry=registry)
        self.healthy = Gauge(
            "fastvideo_router_replica_healthy", "Whether health checks pass.", ["replica"], registry=registry
        )
        self.takes_sessions = Gauge(
            "fastvideo_router_replica_takes_sessions",
            "Whether new sessions go to the replica: it is healthy, ready, and not drained.",
            ["replica"],
            registry=registry,
        )
        self.opened = Counter(
            "fastvideo_router_sessions_opened", "Sessions that a replica took.", ["replica"], registry=registry
        )
        self.ended = Counter(
            "fastvideo_router_sessions_ended", "Sessions by how they ended.", ["how"], registry=registry
        )
        self.refusals = Counter(
            "fastvideo_router_refusals", "Sessions that a replica did not take.", ["replica"], registry=registry
        )
        self.connect_failures = Counter(
            "fastvideo_router_connect_failures", "Connections that could not be made.", ["replica"], registry=registry
        )
        self.resumed = Counter(
            "fastvideo_router_resumptions",
            "Sessions whose connection to a replica was lost: whether they went on elsewhere.",
            ["outcome"],
            registry=registry,
        )
        self.bytes_to_clients = Counter(
            "fastvideo_router_sent_bytes", "Bytes of messages from replicas to clients.", ["kind"], registry=registry
        )
        self.requests = Counter(
            "fastvideo_router_http_requests", "HTTP requests passed on, by status.", ["status"], registry=registry
        )

    def exposition(self, replicas: ReplicaRegistry) -> bytes:
        """All metrics in the Prometheus text format, with the replicas' present state."""
        for gauge in (self.sessions, self.healthy, self.takes_sessions):
            gauge.clear()
        for replica in replicas.all():
            label = replica.endpoint.label
            self.sessions.labels(label).set(replica.sessions)
            self.healthy.labels(label).set(replica.is_healthy)
            self.takes_sessions.labels(label).set(replica.takes_sessions)
        return generate_latest(self._registry)
