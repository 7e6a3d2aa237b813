"""What of a player's own count of stalls is believed."""

from hypothesis import given
from hypothesis import strategies as st

from fastvideo.entrypoints.streaming.stall_count import StallCount


def test_what_is_new_since_the_last_report_counts_once() -> None:
    count = StallCount(0.0)
    assert [count.reported(stalls, now_s) for now_s, stalls in enumerate([0, 0, 1, 1, 3])] == [0, 0, 1, 0, 2]


def test_a_page_that_was_loaded_again_counts_from_nothing() -> None:
    count = StallCount(0.0)
    assert [count.reported(stalls, 60.0 * now) for now, stalls in enumerate([3, 0, 1])] == [3, 0, 1]


@given(st.lists(st.tuples(st.integers(0, 1 << 53), st.floats(0.0, 5.0)), max_size=50))
def test_nobody_counts_more_than_ten_and_one_a_second(reports: list[tuple[int, float]]) -> None:
    count, now_s, counted = StallCount(100.0), 100.0, 0
    for stalls, later_s in reports:
        now_s += later_s
        new = count.reported(stalls, now_s)
        assert new >= 0
        counted += new
    assert counted <= 10 + (now_s - 100.0) + 1e-6
