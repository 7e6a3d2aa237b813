"""Who may use a pool's workers, and in which order the others wait. Plain book-keeping: time is an argument."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fastvideo.api.errors import FastVideoError

_SMOOTHING = 0.25


class QueueFull(FastVideoError, RuntimeError):
    """As many sessions wait for a worker as the operator allows."""

    code = "gpu_unavailable"
    retryable = True


@dataclass(frozen=True, slots=True)
class Place:
    """A session's place in the queue: sessions ahead of it, sessions that wait, and the estimated wait."""

    position: int
    queue_depth: int
    eta_ms: float | None = None


ADMITTED = Place(position=0, queue_depth=0)


@dataclass(slots=True)
class _Lease:
    since_s: float
    # Until its session has come for it, a lease is not idle but on its way.
    claimed: bool = False
    busy: bool = False
    segments: int = 0
    # Takes no slot: what runs under it is bounded by whoever asks.
    beside: bool = False


class Admission:
    """At most ``slots`` sessions hold a lease; the others wait in order of arrival, at most ``max_waiting`` of them.

    A lease whose session has run nothing for ``idle_yield_s`` goes to a session that waits. Jobs have leases beside
    those of sessions: they get one as soon as there is any slot, and take none.
    ``segments_per_lease`` is the expectation that estimates start from.
    """

    def __init__(self, *, slots: int, max_waiting: int, idle_yield_s: float, segments_per_lease: float = 6.0) -> None:
        self._slots = slots
        self._max_waiting = max_waiting
        self._idle_yield_s = idle_yield_s
        self._segments_per_lease = segments_per_lease
        self._segment_s: float | None = None
        self._leases: dict[str, _Lease] = {}
        self._waiting: dict[str, None] = {}
        self._waiting_beside: dict[str, None] = {}

    @property
    def leases(self) -> int:
        """Sessions that hold a lease."""
        return sum(not lease.beside for lease in self._leases.values())

    @property
    def waiting(self) -> int:
        """Sessions that wait."""
        return len(self._waiting)

    @property
    def free_slots(self) -> int:
        """Leases that could be given now."""
        return max(0, self._slots - self.leases)

    def set_slots(self, slots: int, now_s: float) -> list[str]:
        """Change how many leases there are; returns the sessions that are admitted by it."""
        self._slots = slots
        return self.promote(now_s)

    def holds(self, session_id: str) -> bool:
        """Whether the session has a lease."""
        return session_id in self._leases

    def enter(self, session_id: str, now_s: float) -> list[str]:
        """Take a place in the queue, and a lease if there is one; returns the sessions that are admitted by it.

        Twice is the same as once. Raises QueueFull when the session would have to wait and too many do; then nobody
        was admitted.
        """
        admitted = self.promote(now_s)
        if session_id in self._leases or session_id in self._waiting:
            return admitted
        self._waiting[session_id] = None
        admitted += self.promote(now_s)
        if session_id in self._waiting and len(self._waiting) > self._max_waiting:
            del self._waiting[session_id]
            raise QueueFull(f"{self._max_waiting} sessions wait for a worker already; try again later")
        return admitted

    def enter_beside(self, job_id: str, now_s: float) -> list[str]:
        """Ask for a lease for a job, which takes no slot; returns what is admitted by it. Twice is the same as once."""
        if job_id not in self._leases:
            self._waiting_beside[job_id] = None
        return self.promote(now_s)

    def claim(self, session_id: str, now_s: float) -> bool:
        """The session comes for its lease, if it has one: from now on it counts as idle until it runs something."""
        lease = self._leases.get(session_id)
        if lease is None:
            return False
        lease.claimed, lease.since_s = True, now_s
        return True

    def leave(self, session_id: str, now_s: float) -> list[str]:
        """Give up the lease or the place in the queue; returns the sessions that are admitted by it."""
        self._waiting.pop(session_id, None)
        self._waiting_beside.pop(session_id, None)
        lease = self._leases.pop(session_id, None)
        if lease is not None and not lease.beside:
            self._learn_length(lease)
        return self.promote(now_s)

    def started(self, session_id: str) -> None:
        """A segment of the session was asked for."""
        lease = self._leases[session_id]
        lease.claimed = lease.busy = True

    def finished(self, session_id: str, now_s: float, segment_s: float | None = None) -> list[str]:
        """No segment of the session runs any more; ``segment_s`` is the worker's time for a whole one."""
        if segment_s is not None:
            self._segment_s = _smooth(self._segment_s, segment_s)
        lease = self._leases.get(session_id)
        if lease is not None:
            lease.busy = False
            lease.since_s = now_s
            lease.segments += segment_s is not None
        return self.promote(now_s)

    def promote(self, now_s: float) -> list[str]:
        """Give free leases, and those of sessions idle for too long, to the sessions that wait longest."""
        admitted = []
        if self._slots > 0:
            admitted = list(self._waiting_beside)
            self._waiting_beside.clear()
            self._leases.update((job_id, _Lease(since_s=now_s, beside=True)) for job_id in admitted)
        while self._waiting:
            if self.leases >= self._slots and not self._yield_one(now_s):
                break
            session_id = next(iter(self._waiting))
            del self._waiting[session_id]
            self._leases[session_id] = _Lease(since_s=now_s)
            admitted.append(session_id)
        return admitted

    def next_yield_s(self) -> float | None:
        """When to call :meth:`promote` again because a lease will have been idle for long enough."""
        idle = self._idle() if self._waiting and self._yielding_helps else None
        return min(idle.values()) + self._idle_yield_s if idle else None

    def places(self) -> dict[str, Place]:
        """The place of every session that waits, in order."""
        depth = len(self._waiting)
        return {
            session_id: Place(position, depth, self._eta_ms(position))
            for position, session_id in enumerate(self._waiting)
        }

    def _idle(self) -> dict[str, float]:
        return {
            name: lease.since_s
            for name, lease in self._leases.items()
            if lease.claimed and not lease.busy and not lease.beside
        }

    @property
    def _yielding_helps(self) -> bool:
        """Whether a lease that is given up is one for somebody else: not while there are more of them than slots."""
        return 1 <= self._slots >= self.leases

    def _yield_one(self, now_s: float) -> bool:
        if not self._yielding_helps:
            return False
        idle = self._idle()
        if not idle:
            return False
        longest = min(idle, key=idle.__getitem__)
        if now_s < idle[longest] + self._idle_yield_s:
            return False
        self._learn_length(self._leases.pop(longest))
        return True

    def _learn_length(self, lease: _Lease) -> None:
        if lease.segments:
            self._segments_per_lease = _smooth(self._segments_per_lease, lease.segments)

    def _eta_ms(self, position: int) -> float | None:
        # Leases take turns on the same workers, so they end one after the other: one per (segments x segment time).
        # Whole seconds: nobody is told of changes that nobody notices.
        if self._segment_s is None:
            return None
        return math.ceil((position + 1) * self._segments_per_lease * self._segment_s) * 1000.0


def _smooth(average: float | None, value: float) -> float:
    return value if average is None else average + _SMOOTHING * (value - average)
