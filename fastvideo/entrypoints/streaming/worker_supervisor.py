"""When to start workers and when to end them. Plain book-keeping: time is an argument, processes are somebody else's.

A worker is dead, booting, ready or busy, and always exactly one of these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker may take before it is ended, in seconds and bytes, and how deaths are answered.

    ``boot_s``: to build and warm up; ``segment_s``: for one job; ``cancel_s``: to heed a cancellation; ``silence_s``:
    between signs of life. The first respawn is at once, each further one waits twice as long, up to ``max_backoff_s``.
    After ``boot_deaths`` deaths in a row before it was ever ready, a worker is left alone for ``rest_s``.
    """

    boot_s: float = 2400.0
    segment_s: float = 600.0
    cancel_s: float = 30.0
    silence_s: float = 30.0
    memory_bytes: int | None = None
    backoff_s: float = 0.5
    max_backoff_s: float = 5.0
    boot_deaths: int = 3
    rest_s: float = 60.0


# --- states


@dataclass(frozen=True, slots=True)
class Dead:
    """No process; one is started at ``retry_s``."""

    retry_s: float


@dataclass(frozen=True, slots=True)
class Booting:
    """A process that builds its generator or warms up, and must be ready by ``deadline_s``."""

    deadline_s: float


@dataclass(frozen=True, slots=True)
class Ready:
    """A process that waits for a job."""


@dataclass(frozen=True, slots=True)
class Busy:
    """A process that does a job, which must end by ``deadline_s``."""

    deadline_s: float


State: TypeAlias = Dead | Booting | Ready | Busy


# --- what is to be done


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a process for this worker, once the one before is gone."""

    worker: int


@dataclass(frozen=True, slots=True)
class Kill:
    """End this worker's process, for a reason that people can read."""

    worker: int
    reason: str


Action: TypeAlias = Spawn | Kill


@dataclass(slots=True)
class _Worker:
    state: State
    heard_s: float = -math.inf
    # Deaths in a row: of processes that were never ready, and of any since a job was last done.
    boot_deaths: int = 0
    deaths: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """How many workers are in each state."""

    ready: int
    busy: int
    booting: int
    dead: int


@dataclass
class Supervisor:
    """``total`` workers under ``limits``; all are dead at first, and due at once. Workers are numbered from 0."""

    total: int
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self._workers = [_Worker(Dead(-math.inf)) for _ in range(self.total)]

    # --- what is so

    def state(self, worker: int) -> State:
        """How a worker stands."""
        return self._workers[worker].state

    def alive(self, worker: int) -> bool:
        """Whether the worker takes jobs, now or after the one that it does."""
        return isinstance(self.state(worker), Ready | Busy)

    def resting(self, worker: int) -> bool:
        """Whether the worker died while booting so often that it is left alone for a while."""
        found = self._workers[worker]
        return isinstance(found.state, Dead) and found.boot_deaths >= self.limits.boot_deaths

    @property
    def hopeless(self) -> bool:
        """Whether no worker is, or will soon be, ready."""
        return all(self.resting(worker) for worker in range(self.total))

    @property
    def ready(self) -> list[int]:
        """Workers that could take a job now."""
        return [index for index, worker in enumerate(self._workers) if isinstance(worker.state, Ready)]

    def counts(self) -> Counts:
        """How many workers are in each state; together they are all."""
        kinds = [type(worker.state) for worker in self._workers]
        return Counts(*(kinds.count(kind) for kind in (Ready, Busy, Booting, Dead)))

    # --- what happened

    def heard(self, worker: int, now_s: float) -> None:
        """The worker said something."""
        self._workers[worker].heard_s = now_s

    def booted(self, worker: int, now_s: float) -> None:
        """The worker is warm."""
        found = self._workers[worker]
        if isinstance(found.state, Booting):
            found.state, found.heard_s, found.boot_deaths = Ready(), now_s, 0

    def leased(self, worker: int, now_s: float) -> None:
        """The worker got a job. Raises ValueError unless it was ready."""
        found = self._workers[worker]
        if not isinstance(found.state, Ready):
            raise ValueError(f"worker {worker} is not ready but {type(found.state).__name__.lower()}")
        found.state = Busy(now_s + self.limits.segment_s)

    def cancelled(self, worker: int, now_s: float) -> None:
        """The worker was asked to stop its job, and may take less time for it."""
        found = self._workers[worker]
        if isinstance(found.state, Busy):
            found.state = Busy(min(found.state.deadline_s, now_s + self.limits.cancel_s))

    def finished(self, worker: int, now_s: float) -> None:
        """The worker's job is over."""
        found = self._workers[worker]
        if isinstance(found.state, Busy):
            found.state, found.heard_s, found.deaths = Ready(), now_s, 0

    def died(self, worker: int, now_s: float) -> None:
        """The worker's process is gone, or has to go; it is dead from now on. A second call changes nothing."""
        found = self._workers[worker]
        if isinstance(found.state, Dead):
            return
        found.boot_deaths += isinstance(found.state, Booting)
        delay_s = 0.0 if found.deaths == 0 else self.limits.backoff_s * 2.0 ** min(found.deaths - 1, 10)
        delay_s = min(delay_s, self.limits.max_backoff_s)
        found.deaths += 1
        if found.boot_deaths >= self.limits.boot_deaths:
            delay_s = self.limits.rest_s
        found.state = Dead(now_s + delay_s)

    def measured(self, worker: int, resident_bytes: int, now_s: float) -> list[Action]:
        """The worker's memory was read; it is ended above the limit."""
        limit = self.limits.memory_bytes
        if limit is None or resident_bytes <= limit or isinstance(self.state(worker), Dead):
            return []
        self.died(worker, now_s)
        return [Kill(worker, f"it holds {resident_bytes >> 20} MiB, and {limit >> 20} are allowed")]

    def due(self, now_s: float) -> list[Action]:
        """What is to be done now; the books say already that it is."""
        actions: list[Action] = []
        for index, worker in enumerate(self._workers):
            match worker.state:
                case Dead(retry_s) if retry_s <= now_s:
                    worker.state = Booting(now_s + self.limits.boot_s)
                    actions.append(Spawn(index))
                case Booting(deadline_s) if deadline_s <= now_s:
                    actions.append(Kill(index, f"it was not ready within {self.limits.boot_s:g} s"))
                case Busy(deadline_s) if deadline_s <= now_s:
                    actions.append(Kill(index, "its job did not end in time"))
                case Ready() | Busy() if worker.heard_s + self.limits.silence_s <= now_s:
                    actions.append(Kill(index, f"it gave no sign of life for {self.limits.silence_s:g} s"))
        for action in actions:
            if isinstance(action, Kill):
                self.died(action.worker, now_s)
        return actions

    def next_due_s(self) -> float:
        """When to call :meth:`due` again, unless something happens before."""
        times = [math.inf]
        for worker in self._workers:
            match worker.state:
                case Dead(retry_s):
                    times.append(retry_s)
                case Booting(deadline_s):
                    times.append(deadline_s)
                case Busy(deadline_s):
                    times += [deadline_s, worker.heard_s + self.limits.silence_s]
                case Ready():
                    times.append(worker.heard_s + self.limits.silence_s)
        return min(times)
