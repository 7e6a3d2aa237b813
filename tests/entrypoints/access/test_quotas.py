"""Quotas as plain book-keeping: whatever comes in whatever order, nobody gets more than is granted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.api.access_config import Quota, QuotasConfig
from fastvideo.api.errors import LimitExceeded, QuotaExceeded
from fastvideo.entrypoints.access.caller import Caller
from fastvideo.entrypoints.access.quotas import Quotas
from fastvideo.entrypoints.access.rates import Rate, Window

pauses = st.lists(st.floats(0.0, 2.0), max_size=120)
ANN = Caller("ann", "192.0.2.1")
BEN = Caller("ben", "192.0.2.1")
ELSEWHERE = Caller("ann", "198.51.100.1")


def quotas(per_key: Quota | None = None, per_address: Quota | None = None) -> Quotas:
    return Quotas(QuotasConfig(per_key or Quota(), per_address or Quota()))


@given(pauses, st.floats(0.2, 50.0))
def test_a_rate_grants_its_average_and_no_more_than_twice_that_at_once(gaps: list[float], per_second: float) -> None:
    rate = Rate(per_second)
    now_s, happened = 0.0, list[float]()
    for gap in gaps:
        now_s += gap
        wait_s = rate.wait_s(now_s)
        if wait_s == 0.0:
            rate.note(now_s)
            happened.append(now_s)
        else:
            assert rate.wait_s(now_s + wait_s + 1e-6) == 0.0
            now_s += wait_s + 1e-6
    most_at_once = max(1.0, 2.0 * per_second)
    for first in range(len(happened)):
        for last in range(first, len(happened)):
            assert last - first + 1 <= most_at_once + per_second * (happened[last] - happened[first]) + 1e-3


@given(pauses, st.integers(1, 8))
def test_a_window_never_grants_more_in_its_length_and_says_when_the_next_may_come(
    gaps: list[float], count: int
) -> None:
    window = Window(count, 5.0)
    now_s, happened = 0.0, list[float]()
    for gap in gaps:
        now_s += gap
        wait_s = window.wait_s(now_s)
        if wait_s == 0.0:
            window.note(now_s)
            happened.append(now_s)
        else:
            assert len([at for at in happened if at > now_s - 5.0]) == count
            assert happened[-count] + 5.0 == pytest.approx(now_s + wait_s)
    for at in happened:
        assert len([other for other in happened if at - 5.0 < other <= at]) <= count


def test_sessions_are_counted_by_key_and_by_address_until_they_are_over() -> None:
    counted = quotas(Quota(max_sessions=2), Quota(max_sessions=3))
    first, second = counted.admit(ANN, 0.0), counted.admit(ELSEWHERE, 0.0)
    with pytest.raises(QuotaExceeded, match="2 sessions at once for this key") as refused:
        counted.admit(ANN, 0.0)
    assert refused.value.retry_after_s > 0
    counted.admit(BEN, 0.0)
    counted.admit(BEN, 0.0)
    second.close()
    second.close()
    with pytest.raises(QuotaExceeded, match="3 sessions at once for this address"):
        counted.admit(ANN, 0.0)
    first.close()
    counted.admit(ANN, 0.0)


@given(st.lists(st.tuples(st.sampled_from([ANN, BEN, ELSEWHERE]), st.booleans()), max_size=60))
def test_whatever_is_opened_and_closed_no_key_and_no_address_has_more_than_its_share(
    moves: list[tuple[Caller, bool]],
) -> None:
    counted = quotas(Quota(max_sessions=2), Quota(max_sessions=3))
    held: list[tuple[Caller, Callable[[], None]]] = []
    for caller, opens in moves:
        if opens:
            same_key = sum(other.key == caller.key for other, _ in held)
            same_address = sum(other.address == caller.address for other, _ in held)
            try:
                held.append((caller, counted.admit(caller, 0.0).close))
            except QuotaExceeded:
                assert same_key == 2 or same_address == 3
            else:
                assert same_key < 2
                assert same_address < 3
        elif held:
            held.pop(0)[1]()


def test_what_a_refused_message_or_segment_would_have_taken_is_not_taken() -> None:
    counted = quotas(Quota(messages_per_second=1.0, segments_per_hour=1), Quota(segments_per_hour=2))
    allowance = counted.admit(ANN, 0.0)
    allowance.take_message(0.0)
    allowance.take_message(0.0)
    with pytest.raises(QuotaExceeded, match="1 messages a second for this key") as refused:
        allowance.take_message(0.0)
    assert refused.value.retry_after_s == pytest.approx(1.0)
    allowance.take_message(1.0)
    counted.take_segment(ANN, 1.0)
    for _ in range(5):
        with pytest.raises(QuotaExceeded, match="segments an hour for this key"):
            counted.take_segment(ANN, 2.0)
    counted.take_segment(BEN, 2.0)
    with pytest.raises(QuotaExceeded, match="this address") as late:
        counted.take_segment(Caller("eve", ANN.address), 3.0)
    assert late.value.retry_after_s == pytest.approx(3598.0)
    counted.take_segment(ANN, 3601.0)


def test_without_quotas_nothing_is_bounded_and_clients_that_have_gone_are_forgotten() -> None:
    free = quotas()
    for number in range(5000):
        allowance = free.admit(Caller(None, f"address {number}"), float(number))
        allowance.take_message(float(number))
        allowance.take_segment(float(number))
        allowance.close()
    assert len(free._used) <= 1024


@given(st.lists(st.tuples(st.floats(0.0, 4.0), st.integers(1, 5)), max_size=80))
def test_several_at_once_are_granted_whole_or_not_at_all(asked: list[tuple[float, int]]) -> None:
    held = quotas(Quota(segments_per_hour=5))
    now_s, granted = 0.0, list[float]()
    for gap, count in asked:
        now_s += gap * 600.0
        try:
            held.take_segments(ANN, count, now_s)
        except QuotaExceeded as error:
            assert len([at for at in granted if at > now_s - 3600.0]) + count > 5
            now_s += error.retry_after_s + 1e-6
            held.take_segments(ANN, count, now_s)
        granted += [now_s] * count
        assert len([at for at in granted if at > now_s - 3600.0]) <= 5


def test_more_at_once_than_an_hour_ever_grants_has_no_time_to_come_again() -> None:
    held = quotas(per_address=Quota(segments_per_hour=5))
    with pytest.raises(LimitExceeded, match="at most 5 segments an hour for this address, and this would take 6"):
        held.take_segments(ANN, 6, 0.0)
    held.take_segments(ANN, 5, 0.0)
