from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.entrypoints.bench.summary import percentile, summarise

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=50)


@given(VALUES, st.floats(0, 100))
def test_percentiles_are_those_of_numpy(values: list[float], percent: float) -> None:
    assert percentile(sorted(values), percent) == pytest.approx(np.percentile(values, percent), rel=1e-9, abs=1e-9)


@given(VALUES)
def test_a_summary_is_in_order_and_within_the_values(values: list[float]) -> None:
    found = summarise(values)
    assert found is not None
    assert min(values) <= found.p50 <= found.p90 <= found.p99 <= found.max == max(values)
    assert found.count == len(values)
    assert found.mean == pytest.approx(sum(values) / len(values))


def test_nothing_has_no_summary_and_no_percentile() -> None:
    assert summarise([]) is None
    with pytest.raises(ValueError, match="0 values"):
        percentile([], 50)
    with pytest.raises(ValueError, match="and 101"):
        percentile([1.0], 101)
