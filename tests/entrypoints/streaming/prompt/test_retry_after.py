"""The Retry-After header."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastvideo.entrypoints.streaming.prompt.providers.retry_after import retry_after_s


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        (" 7.66 ", 7.66),
        ("-1", 0.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 60.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_numbers_and_dates_are_understood(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, now_s=40.0) == seconds


@given(st.text())
@example("Thu, 01 Jan 99999999999 00:00:10 GMT")
def test_any_text_gives_a_wait_that_is_possible_or_none(value: str) -> None:
    seconds = retry_after_s(value, now_s=0.0)
    assert seconds is None or (seconds >= 0 and math.isfinite(seconds))
