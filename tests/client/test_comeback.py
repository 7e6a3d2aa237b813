"""When a client comes back, and for how long it tries."""

from __future__ import annotations

from fastvideo.client.comeback import LONGEST_RETRY_AFTER_S, STEADY_S, Comeback


def attempts(comeback: Comeback, now_s: float, retry_after_s: float | None = None) -> list[float]:
    """When they are made, each refused at once."""
    found = []
    while (pause_s := comeback.pause_s(now_s, 1.0, retry_after_s)) is not None:
        now_s += pause_s
        found.append(now_s)
    return found


def test_pauses_double_until_the_grace_time_is_over() -> None:
    comeback = Comeback(0.5, 2.0)
    comeback.lost(100.0, 7, 10.0)
    assert attempts(comeback, 100.0) == [100.5, 101.5, 103.5, 105.5, 107.5, 109.5]


def test_chance_halves_a_pause_at_most() -> None:
    comeback = Comeback(1.0, 2.0)
    comeback.lost(0.0, 0, 30.0)
    assert [comeback.pause_s(0.0, 0.0), comeback.pause_s(0.0, 0.5)] == [0.5, 1.5]


def test_what_a_server_asks_for_comes_on_top_and_may_last_longer_than_the_grace_time() -> None:
    comeback = Comeback(0.5, 2.0)
    comeback.lost(0.0, 0, 1.0)
    assert comeback.pause_s(0.0, 1.0, retry_after_s=20.0) == 20.5


def test_a_server_that_asks_for_patience_for_ever_is_given_up() -> None:
    comeback = Comeback(0.5, 2.0)
    comeback.lost(0.0, 0, 10.0)
    assert comeback.pause_s(0.0, 1.0, retry_after_s=LONGEST_RETRY_AFTER_S + 1.0) is None
    times = attempts(comeback, 0.0, retry_after_s=5.0)
    assert 10.0 < times[-1] <= 10.0 + LONGEST_RETRY_AFTER_S


def test_a_session_that_is_lost_at_once_again_and_again_gets_no_more_time() -> None:
    comeback = Comeback(0.5, 2.0)
    now_s, losses = 0.0, 0
    comeback.lost(now_s, 7, 10.0)
    while (pause_s := comeback.pause_s(now_s, 1.0)) is not None:
        now_s += pause_s
        comeback.back(now_s)
        now_s += 0.1
        comeback.lost(now_s, 7, 10.0)
        losses += 1
    assert losses == 6


def test_media_or_time_make_the_next_loss_another_matter() -> None:
    for sequence, later_s in ((8, 0.1), (7, STEADY_S)):
        comeback = Comeback(0.5, 2.0)
        comeback.lost(0.0, 7, 10.0)
        assert comeback.pause_s(9.0, 1.0) == 0.5
        comeback.back(9.5)
        comeback.lost(9.5 + later_s, sequence, 10.0)
        assert attempts(comeback, 9.5 + later_s)[0] == 10.0 + later_s
