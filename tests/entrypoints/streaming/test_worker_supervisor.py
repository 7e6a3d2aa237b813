import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fastvideo.entrypoints.streaming.worker_supervisor import (
    Booting,
    Busy,
    Dead,
    Kill,
    Limits,
    Ready,
    Spawn,
    Supervisor,
)

LIMITS = Limits(boot_s=100, segment_s=20, cancel_s=5, silence_s=10, memory_bytes=1 << 30)


def warm(total: int = 1, limits: Limits = LIMITS) -> Supervisor:
    supervisor = Supervisor(total, limits)
    supervisor.due(0.0)
    for worker in range(total):
        supervisor.booted(worker, 0.0)
    return supervisor


def test_all_workers_are_started_at_once_and_once() -> None:
    supervisor = Supervisor(3, LIMITS)
    assert supervisor.due(0.0) == [Spawn(0), Spawn(1), Spawn(2)]
    assert supervisor.due(0.0) == []
    supervisor.booted(1, 5.0)
    assert supervisor.ready == [1]
    assert supervisor.next_due_s() == 15.0


def test_a_worker_that_does_not_boot_in_time_is_ended_and_started_again() -> None:
    supervisor = Supervisor(1, LIMITS)
    supervisor.due(0.0)
    assert supervisor.due(99.9) == []
    (kill,) = supervisor.due(100.0)
    assert isinstance(kill, Kill)
    assert "100 s" in kill.reason
    assert supervisor.due(100.0) == [Spawn(0)]


def test_a_job_that_does_not_end_and_a_cancellation_that_is_not_heeded_end_the_worker() -> None:
    supervisor = warm(2)
    supervisor.leased(0, 1.0)
    supervisor.leased(1, 1.0)
    supervisor.cancelled(1, 2.0)
    for now_s in range(2, 8):
        supervisor.heard(0, now_s)
        supervisor.heard(1, now_s)
    assert [action.worker for action in supervisor.due(7.0)] == [1]
    supervisor.heard(0, 20.0)
    supervisor.due(20.0)
    assert isinstance(supervisor.state(0), Busy)
    assert [type(action) for action in supervisor.due(21.0)] == [Kill]


def test_a_cancellation_never_gives_a_job_more_time() -> None:
    supervisor = warm()
    supervisor.leased(0, 0.0)
    supervisor.cancelled(0, 18.0)
    assert supervisor.state(0) == Busy(20.0)


def test_a_worker_that_falls_silent_is_ended_busy_or_not_but_may_be_silent_while_it_boots() -> None:
    supervisor = warm()
    assert supervisor.due(9.9) == []
    assert [type(action) for action in supervisor.due(10.0)] == [Kill]
    assert supervisor.due(10.0) == [Spawn(0)]
    assert supervisor.due(60.0) == []


def test_a_worker_beyond_its_memory_is_ended() -> None:
    supervisor = warm()
    assert supervisor.measured(0, 1 << 30, 1.0) == []
    (kill,) = supervisor.measured(0, (1 << 30) + (1 << 20), 1.0)
    assert kill == Kill(0, "it holds 1025 MiB, and 1024 are allowed")
    assert supervisor.measured(0, 1 << 40, 1.0) == []


def test_deaths_in_a_row_are_answered_ever_more_slowly_up_to_five_seconds() -> None:
    supervisor = warm(limits=LIMITS)
    delays, now_s = [], 0.0
    for _ in range(8):
        supervisor.died(0, now_s)
        state = supervisor.state(0)
        assert isinstance(state, Dead)
        delays.append(state.retry_s - now_s)
        now_s = state.retry_s
        supervisor.due(now_s)
        supervisor.booted(0, now_s)
    assert delays == [0.0, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]
    supervisor.leased(0, now_s)
    supervisor.finished(0, now_s)
    supervisor.died(0, now_s)
    assert supervisor.state(0) == Dead(now_s)


def test_only_deaths_before_it_was_ready_open_the_circuit_breaker() -> None:
    supervisor, now_s = warm(), 0.0
    for _ in range(10):
        supervisor.leased(0, now_s)
        supervisor.died(0, now_s)
        assert not supervisor.hopeless
        now_s = supervisor.next_due_s()
        supervisor.due(now_s)
        supervisor.booted(0, now_s)
    supervisor.died(0, now_s)
    for _ in range(3):
        assert not supervisor.hopeless
        now_s = supervisor.next_due_s()
        assert supervisor.due(now_s) == [Spawn(0)]
        supervisor.died(0, now_s)
    assert supervisor.hopeless
    assert supervisor.due(now_s + 59.9) == []
    assert supervisor.due(now_s + 60.0) == [Spawn(0)]
    # One trial; if it fails too, the worker rests again, and if not, all is forgotten.
    assert not supervisor.hopeless
    supervisor.died(0, now_s + 60.0)
    assert supervisor.hopeless
    assert supervisor.due(now_s + 120.0) == [Spawn(0)]
    supervisor.booted(0, now_s + 120.0)
    supervisor.died(0, now_s + 120.0)
    assert not supervisor.hopeless


def test_one_resting_worker_is_no_reason_to_give_up() -> None:
    supervisor = Supervisor(2, LIMITS)
    for _ in range(3):
        now_s = supervisor.next_due_s()
        supervisor.due(max(0.0, now_s))
        supervisor.died(0, max(0.0, now_s))
        supervisor.booted(1, max(0.0, now_s))
        supervisor.heard(1, max(0.0, now_s))
    assert supervisor.resting(0)
    assert not supervisor.hopeless


def test_a_worker_that_is_not_ready_cannot_be_leased() -> None:
    supervisor = warm()
    supervisor.leased(0, 0.0)
    with pytest.raises(ValueError, match="busy"):
        supervisor.leased(0, 0.0)


class Life(RuleBasedStateMachine):
    """Workers that boot, work, hang, die and come back in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.supervisor = Supervisor(4, LIMITS)
        self.now_s = 0.0
        self.processes: set[int] = set()
        self.heard: dict[int, float] = {}

    workers = st.integers(0, 3)

    def obey(self, actions) -> None:
        for action in actions:
            if isinstance(action, Spawn):
                assert action.worker not in self.processes, "two processes for one worker"
                self.processes.add(action.worker)
            else:
                assert action.worker in self.processes, "nothing to end"
                self.processes.remove(action.worker)

    @rule(quarters=st.integers(0, 120))
    def time_passes(self, quarters) -> None:
        self.now_s += quarters / 4
        self.obey(self.supervisor.due(self.now_s))

    @rule()
    def the_next_thing_is_due(self) -> None:
        due_s = self.supervisor.next_due_s()
        self.now_s = max(self.now_s, due_s)
        actions = self.supervisor.due(self.now_s)
        # Whoever sleeps until then finds something to do: no wake-up is lost, and none is in vain.
        assert actions
        self.obey(actions)

    @rule(worker=workers)
    def one_says_something(self, worker) -> None:
        self.supervisor.heard(worker, self.now_s)

    @rule(worker=workers)
    def one_is_warm(self, worker) -> None:
        self.supervisor.booted(worker, self.now_s)

    @precondition(lambda self: self.supervisor.ready)
    @rule(data=st.data())
    def one_gets_a_job(self, data) -> None:
        self.supervisor.leased(data.draw(st.sampled_from(self.supervisor.ready)), self.now_s)

    @rule(worker=workers)
    def one_is_cancelled(self, worker) -> None:
        self.supervisor.cancelled(worker, self.now_s)

    @rule(worker=workers)
    def one_finishes(self, worker) -> None:
        self.supervisor.finished(worker, self.now_s)

    @rule(worker=workers)
    def one_dies(self, worker) -> None:
        self.supervisor.died(worker, self.now_s)
        self.processes.discard(worker)

    @rule(worker=workers, resident_bytes=st.integers(0, 1 << 31))
    def one_is_measured(self, worker, resident_bytes) -> None:
        self.obey(self.supervisor.measured(worker, resident_bytes, self.now_s))

    @invariant()
    def every_worker_is_in_one_state(self) -> None:
        counts = self.supervisor.counts()
        assert counts.ready + counts.busy + counts.booting + counts.dead == 4
        assert counts.ready == len(self.supervisor.ready)

    @invariant()
    def processes_are_those_of_workers_that_are_not_dead(self) -> None:
        states = {worker: self.supervisor.state(worker) for worker in range(4)}
        assert self.processes == {worker for worker, state in states.items() if not isinstance(state, Dead)}

    @invariant()
    def nobody_is_left_without_a_next_step(self) -> None:
        assert self.supervisor.next_due_s() < math.inf
        for worker in range(4):
            match self.supervisor.state(worker):
                case Dead(retry_s):
                    assert retry_s - self.now_s <= (60.0 if self.supervisor.resting(worker) else 5.0)
                case Booting(deadline_s):
                    assert deadline_s - self.now_s <= 100
                case Busy(deadline_s):
                    assert deadline_s - self.now_s <= 20
                case Ready():
                    pass


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
