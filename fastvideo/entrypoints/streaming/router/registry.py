"""The replicas: what is known of each one's health, and which of them gets the next session."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum

from fastvideo.entrypoints.streaming.router.config import ReplicaEndpoint

logger = logging.getLogger(__name__)


class ReplicaStatus(Enum):
    """What the health checks found; nobody has answered yet while it is unknown."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass
class ReplicaHealth:
    """The outcome of health checks. Moments are seconds since the epoch."""

    status: ReplicaStatus = ReplicaStatus.UNKNOWN
    last_ok_at: float | None = None
    last_failure_at: float | None = None
    consecutive_failures: int = 0
    consecutive_successes: int = 0
    last_latency_ms: float | None = None


@dataclass(eq=False)
class Replica:
    """A replica and what this router knows of it.

    ``ready``: it takes sessions, as far as it said. ``sessions``: those of this router that it has.
    """

    endpoint: ReplicaEndpoint
    health: ReplicaHealth = field(default_factory=ReplicaHealth)
    ready: bool = True
    sessions: int = 0

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return self.endpoint.address

    @property
    def primary(self) -> bool:
        """Whether it comes before all others."""
        return self.endpoint.primary

    @property
    def is_healthy(self) -> bool:
        """Whether health checks say that it lives."""
        return self.health.status is ReplicaStatus.HEALTHY

    @property
    def takes_sessions(self) -> bool:
        """Whether a new session may be sent to it."""
        return self.is_healthy and self.ready and not self.endpoint.drain

    @property
    def load(self) -> float:
        """Sessions that it would have with one more, over its weight."""
        return (self.sessions + 1) / self.endpoint.weight


class ReplicaRegistry:
    """All replicas, in the order of the config. ``clock`` gives seconds since the epoch."""

    def __init__(
        self, replicas: Sequence[ReplicaEndpoint | Replica], *, clock: Callable[[], float] = time.time
    ) -> None:
        if not replicas:
            raise ValueError("a registry needs at least one replica")
        self._replicas = [item if isinstance(item, Replica) else Replica(item) for item in replicas]
        self._clock = clock

    def all(self) -> list[Replica]:
        """Every replica."""
        return list(self._replicas)

    def get(self, url: str) -> Replica | None:
        """The replica at this address, if there is one."""
        address = url.rstrip("/")
        return next((replica for replica in self._replicas if replica.url == address), None)

    def primaries(self) -> list[Replica]:
        """The replicas that come before all others."""
        return [replica for replica in self._replicas if replica.primary]

    def select(self, exclude: Collection[Replica] = ()) -> Replica | None:
        """Who gets the next session: a primary before the others, then the least loaded for its weight, then the first
        in order; None when nobody takes sessions."""
        candidates = [replica for replica in self._replicas if replica.takes_sessions and replica not in exclude]
        return min(candidates, key=lambda replica: (not replica.primary, replica.load), default=None)

    def replace(self, endpoints: Sequence[ReplicaEndpoint]) -> None:
        """Take over a changed list: who stays keeps its health and its sessions; who is gone gets no new ones."""
        known = {replica.url: replica for replica in self._replicas}
        replaced = []
        for endpoint in endpoints:
            replica = known.get(endpoint.address) or Replica(endpoint)
            replica.endpoint = endpoint
            replaced.append(replica)
        self._replicas = replaced

    async def record_success(self, replica: Replica, *, recovery_threshold: int, latency_ms: float) -> None:
        """A check that passed. One is enough the first time; after a failure ``recovery_threshold`` in a row are."""
        health = replica.health
        health.consecutive_failures = 0
        health.consecutive_successes += 1
        health.last_ok_at = self._clock()
        health.last_latency_ms = latency_ms
        first = health.status is ReplicaStatus.UNKNOWN
        if first or (not replica.is_healthy and health.consecutive_successes >= recovery_threshold):
            health.status = ReplicaStatus.HEALTHY
            logger.info("replica %s is healthy", replica.endpoint.label)

    async def record_failure(self, replica: Replica, *, failure_threshold: int, reason: str) -> None:
        """A check or a connection that failed; ``failure_threshold`` in a row make the replica unhealthy."""
        health = replica.health
        health.consecutive_successes = 0
        health.consecutive_failures += 1
        health.last_failure_at = self._clock()
        unhealthy = health.consecutive_failures >= failure_threshold
        if unhealthy and health.status is not ReplicaStatus.UNHEALTHY:
            health.status = ReplicaStatus.UNHEALTHY
            logger.warning("replica %s is unhealthy: %s", replica.endpoint.label, reason)
