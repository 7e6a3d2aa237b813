from hypothesis import given
from hypothesis import strategies as st

from fastvideo.entrypoints.streaming.viewer_clock import ViewerClock


def test_playback_starts_with_the_first_media_and_goes_on_in_real_time() -> None:
    clock = ViewerClock()
    assert clock.ahead_ms(5.0) == 0
    clock.sent(2000.0, 10.0)
    assert clock.ahead_ms(10.5) == 1500.0
    clock.sent(4000.0, 11.0)
    assert clock.ahead_ms(11.0) == 3000.0
    assert clock.dry_ms(11.0) == 0


def test_a_viewer_without_media_waits_and_goes_on_when_there_is_some() -> None:
    clock = ViewerClock()
    clock.sent(1000.0, 0.0)
    assert clock.ahead_ms(3.0) == 0
    assert clock.dry_ms(3.0) == 2000.0
    assert clock.ahead_ms(4.0) == 0
    assert clock.dry_ms(4.0) == 3000.0
    clock.sent(1500.0, 5.0)
    assert clock.ahead_ms(5.0) == 500.0
    assert clock.ahead_ms(5.25) == 250.0


def test_media_from_elsewhere_is_no_lead() -> None:
    clock = ViewerClock()
    clock.begin_at(60_000.0)
    assert clock.ahead_ms(5.0) == 0
    assert clock.dry_ms(5.0) == 0
    clock.sent(62_000.0, 10.0)
    assert clock.ahead_ms(10.5) == 1500.0
    clock.reported(59_000.0, 11.0)
    assert clock.ahead_ms(11.0) == 3000.0


def test_what_the_player_reports_replaces_the_wall_clock() -> None:
    clock = ViewerClock()
    clock.sent(8000.0, 0.0)
    assert not clock.reports
    clock.reported(500.0, 4.0)
    assert clock.reports
    assert clock.ahead_ms(4.0) == 7500.0
    assert clock.ahead_ms(5.0) == 6500.0


def test_a_player_that_rests_just_before_the_end_has_been_dry_since_it_came_there() -> None:
    clock = ViewerClock()
    clock.sent(5000.0, 0.0)
    clock.reported(4000.0, 4.0)
    for now_s in (5.2, 6.2, 7.2):
        clock.reported(4850.0, now_s)
    assert clock.dry_ms(7.5) == 2500.0
    assert clock.ahead_ms(7.5) == 0.0
    clock.sent(10_000.0, 7.5)
    clock.reported(4850.0, 8.0)
    assert clock.ahead_ms(8.0) == 5150.0
    assert clock.dry_ms(8.0) == 0.0


def test_a_player_that_is_behind_what_was_thought_has_not_run_dry() -> None:
    clock = ViewerClock()
    clock.sent(5000.0, 0.0)
    clock.reported(4000.0, 5.5)
    assert clock.dry_ms(6.0) == 0.0
    assert clock.dry_ms(6.75) == 250.0


def test_a_player_cannot_be_beyond_what_was_sent() -> None:
    clock = ViewerClock()
    clock.reported(9000.0, 0.0)
    clock.sent(1000.0, 1.0)
    clock.reported(1e9, 1.0)
    assert clock.ahead_ms(1.0) == 0
    clock.sent(3000.0, 2.0)
    assert clock.ahead_ms(2.0) == 2000.0


@given(
    st.lists(
        st.tuples(st.sampled_from(["sent", "reported", "look"]), st.floats(0, 1e6), st.floats(0, 100)), max_size=40
    )
)
def test_the_viewer_is_never_beyond_the_media_nor_runs_faster_than_time(
    steps: list[tuple[str, float, float]],
) -> None:
    clock, now_s, end_ms = ViewerClock(), 0.0, 0.0
    for kind, value, delay_s in steps:
        before = clock.ahead_ms(now_s)
        now_s += delay_s
        after = clock.ahead_ms(now_s)
        assert 0 <= after <= before + 1e-6
        assert before - after <= delay_s * 1000 + 1e-6
        if kind == "sent":
            end_ms = max(end_ms, value)
            clock.sent(value, now_s)
        elif kind == "reported":
            clock.reported(value, now_s)
        assert 0 <= clock.ahead_ms(now_s) <= end_ms + 1e-6
        assert clock.end_ms == end_ms
