from __future__ import annotations

import itertools
import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.entrypoints.bench.arrivals import arrival_times, steering_times

RATES = st.floats(0.01, 1000)


def gaps(times: list[float]) -> list[float]:
    return [after - before for before, after in itertools.pairwise(times)]


@given(st.integers(0, 100), RATES, st.floats(0.05, 50), st.integers())
def test_arrivals_begin_at_once_ascend_and_are_repeated_by_their_seed(
    count: int, rate: float, burstiness: float, seed: int
) -> None:
    times = arrival_times(count, rate, burstiness, random.Random(seed))
    assert len(times) == count
    assert times[:1] == [0.0][:count]
    assert all(gap >= 0 for gap in gaps(times))
    assert times == arrival_times(count, rate, burstiness, random.Random(seed))


@given(st.integers(0, 100))
def test_at_an_infinite_rate_all_arrive_at_once(count: int) -> None:
    assert arrival_times(count, math.inf, 1.0, random.Random(0)) == [0.0] * count


@pytest.mark.parametrize("burstiness", [0.25, 1.0, 4.0])
def test_gaps_have_the_mean_of_the_rate_and_the_spread_of_the_burstiness(burstiness: float) -> None:
    found = gaps(arrival_times(40_000, 5.0, burstiness, random.Random(7)))
    assert statistics.mean(found) == pytest.approx(1 / 5, rel=0.05)
    # A gamma distribution of shape k has a deviation of mean / sqrt(k); 1 is the exponential one of a Poisson process.
    assert statistics.stdev(found) / statistics.mean(found) == pytest.approx(1 / math.sqrt(burstiness), rel=0.05)


@pytest.mark.parametrize(
    ("rate", "burstiness"), [(0.0, 1.0), (-1.0, 1.0), (math.nan, 1.0), (1.0, 0.0), (1.0, math.inf)]
)
def test_what_is_no_rate_or_burstiness_is_refused(rate: float, burstiness: float) -> None:
    with pytest.raises(ValueError, match="expected a"):
        arrival_times(3, rate, burstiness, random.Random(0))


@given(st.floats(0.1, 100), st.floats(0, 1000), st.integers())
def test_steering_happens_while_it_is_watched(every_s: float, until_s: float, seed: int) -> None:
    times = steering_times(every_s, until_s, random.Random(seed))
    assert times == sorted(times)
    assert all(0 <= moment < until_s for moment in times)


def test_steering_is_as_frequent_as_asked_and_can_be_left_out() -> None:
    assert len(steering_times(2.0, 20_000, random.Random(3))) == pytest.approx(10_000, rel=0.05)
    assert steering_times(0.0, 20_000, random.Random(3)) == []
