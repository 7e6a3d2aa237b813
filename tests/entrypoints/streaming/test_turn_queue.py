import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fastvideo.entrypoints.streaming.turn_queue import TurnQueue


def queue_of(*homes: tuple[str, int | None]) -> TurnQueue:
    queue = TurnQueue()
    for session_id, home in homes:
        queue.ask(session_id, home=home)
    return queue


def test_who_came_first_is_served_first_and_at_home_if_it_can_be() -> None:
    queue = queue_of(("a", 1), ("b", 0), ("c", 0))
    assert queue.take([0, 1]) == [("a", 1), ("b", 0)]
    assert "c" in queue
    # Rather a strange worker than a wait.
    assert queue.take([1]) == [("c", 1)]
    assert len(queue) == 0


def test_a_stranger_leaves_the_worker_that_somebody_else_who_waits_calls_home() -> None:
    assert queue_of(("a", None), ("b", 0)).take([0, 1]) == [("a", 1), ("b", 0)]


def test_a_turn_that_is_made_again_comes_before_the_others() -> None:
    queue = queue_of(("a", 0), ("b", 0))
    queue.ask("retry", home=0, first=True)
    assert [session for session, _ in queue.take([0])] == ["retry"]


def test_nobody_waits_twice_and_whoever_left_gets_nothing() -> None:
    queue = queue_of(("a", 0), ("b", 0))
    with pytest.raises(ValueError, match="waits already"):
        queue.ask("a", home=1)
    assert queue.leave("a")
    assert not queue.leave("a")
    assert queue.take([0]) == [("b", 0)]


@given(st.lists(st.none() | st.integers(0, 4), max_size=8), st.sets(st.integers(0, 4)))
def test_no_worker_is_given_twice_and_none_is_idle_while_somebody_waits(homes, ready) -> None:
    queue = queue_of(*((f"s{index}", home) for index, home in enumerate(homes)))
    given_away = queue.take(sorted(ready))
    assert [session for session, _ in given_away] == [f"s{index}" for index in range(min(len(homes), len(ready)))]
    workers = [worker for _, worker in given_away]
    assert len(set(workers)) == len(workers)
    assert set(workers) <= ready
    assert len(queue) == max(0, len(homes) - len(ready))


class Rounds(RuleBasedStateMachine):
    """Ten sessions that always want another turn, over workers that come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = TurnQueue()
        self.turns = {f"s{index}": 0 for index in range(10)}
        for name in self.turns:
            self.queue.ask(name, home=None)

    @rule(ready=st.sets(st.integers(0, 3)))
    def workers_get_free(self, ready) -> None:
        for name, worker in self.queue.take(sorted(ready)):
            self.turns[name] += 1
            self.queue.ask(name, home=worker)

    @invariant()
    def nobody_is_more_than_a_round_ahead(self) -> None:
        assert max(self.turns.values()) - min(self.turns.values()) <= 1


TestRounds = Rounds.TestCase
