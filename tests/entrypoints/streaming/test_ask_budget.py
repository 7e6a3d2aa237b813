from hypothesis import given, settings
from hypothesis import strategies as st

from fastvideo.entrypoints.streaming.ask_budget import AskBudget


def test_a_session_asks_in_a_burst_and_then_at_a_steady_rate() -> None:
    budget = AskBudget(3)
    assert [budget.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not budget.take(119.0)
    assert budget.take(120.0)
    assert not budget.take(121.0)


def test_nobody_saves_up_more_than_a_burst() -> None:
    budget = AskBudget(2)
    assert budget.take(0.0)
    assert [budget.take(10_000.0) for _ in range(3)] == [True, True, False]


@settings(max_examples=30)
@given(st.integers(0, 20), st.lists(st.floats(0, 30), max_size=60))
def test_a_minute_holds_at_most_twice_what_is_allowed(per_minute: int, pauses: list[float]) -> None:
    budget, now_s, asked = AskBudget(per_minute), 0.0, []
    for pause in pauses:
        now_s += pause
        if budget.take(now_s):
            asked.append(now_s)
    for at_s in asked:
        assert sum(at_s <= other <= at_s + 60.0 for other in asked) <= 2 * per_minute
