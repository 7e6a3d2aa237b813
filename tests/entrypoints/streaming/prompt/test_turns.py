"""Who is asked when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fastvideo.entrypoints.streaming.prompt.turns import MAX_ASKS, Turns


def turns(providers: int, **settings: float) -> Turns:
    return Turns(providers, **{"now_s": 0.0, "timeout_s": 10.0, "hedge_after_s": 1.0, **settings})


def test_the_first_is_asked_at_once_and_each_next_one_a_while_later() -> None:
    three = turns(3)
    assert three.due(0.0) == [0]
    assert three.next_s == 1.0
    assert three.due(0.9) == []
    assert three.due(1.0) == [1]
    assert three.due(2.5) == [2]
    assert three.next_s is None


def test_a_failure_brings_the_next_one_on_at_once() -> None:
    two = turns(2)
    two.due(0.0)
    two.failed(0, 0.2, others_may=True, again_after_s=None)
    assert two.due(0.2) == [1]


def test_nobody_else_is_asked_what_is_wrong_in_itself() -> None:
    two = turns(2)
    two.due(0.0)
    two.failed(0, 0.2, others_may=False, again_after_s=0.1)
    assert two.next_s is None
    assert two.due(5.0) == []


def test_one_that_says_when_is_asked_again_then_while_the_next_one_is_asked_at_once() -> None:
    two = turns(2)
    two.due(0.0)
    two.failed(0, 0.5, others_may=True, again_after_s=2.0)
    assert two.due(0.5) == [1]
    assert two.next_s == 2.5
    assert two.due(2.5) == [0]


def test_one_that_says_when_beyond_the_deadline_is_not_asked_again() -> None:
    one = turns(1)
    one.due(0.0)
    one.failed(0, 1.0, others_may=True, again_after_s=9.0)
    assert one.next_s is None


def test_one_that_says_when_again_and_again_is_asked_a_few_times_only() -> None:
    one = turns(1)
    for _ in range(MAX_ASKS):
        assert one.due(0.0) == [0]
        one.failed(0, 0.0, others_may=True, again_after_s=0.0)
    assert one.next_s is None


EVENTS = st.lists(
    st.tuples(st.floats(0, 5), st.integers(0, 4), st.booleans(), st.none() | st.floats(0, 3)), max_size=60
)


@given(st.integers(1, 5), st.floats(0, 3), st.floats(0, 20), EVENTS)
def test_each_is_asked_in_order_a_few_times_at_most_and_never_after_the_deadline(providers, hedge_s, timeout_s, events):
    all_turns = turns(providers, hedge_after_s=hedge_s, timeout_s=timeout_s)
    now_s = 0.0
    asked: list[int] = []
    running: set[int] = set()
    for wait_s, which, others_may, again_s in events:
        due = all_turns.due(now_s)
        assert not (due and now_s >= timeout_s)
        assert not set(due) & running
        asked += due
        running |= set(due)
        now_s += wait_s
        if which in running:
            running.discard(which)
            all_turns.failed(which, now_s, others_may=others_may, again_after_s=again_s)
    assert list(dict.fromkeys(asked)) == list(range(len(set(asked))))
    assert all(asked.count(index) <= MAX_ASKS for index in asked)


@given(st.integers(1, 5), st.floats(0, 3))
def test_when_all_fail_each_was_asked_and_nobody_is_left(providers, hedge_s):
    all_turns = turns(providers, hedge_after_s=hedge_s)
    asked = []
    while all_turns.next_s is not None:
        for index in all_turns.due(0.0):
            asked.append(index)
            all_turns.failed(index, 0.0, others_may=True, again_after_s=None)
    assert asked == list(range(providers))
