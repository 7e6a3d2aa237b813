from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.entrypoints.streaming.recordings.byte_range import ByteRange, RangeNotSatisfiable, read_range

SIZES = st.integers(0, 2000)


@given(st.integers(0, 2500), st.integers(0, 2500), SIZES)
def test_from_first_to_last_is_cut_at_the_end(first: int, last: int, size: int) -> None:
    header = f"bytes={first}-{last}"
    if last < first:
        assert read_range(header, size) is None
    elif first >= size:
        with pytest.raises(RangeNotSatisfiable):
            read_range(header, size)
    else:
        found = read_range(header, size)
        assert found is not None
        assert bytes(size)[found.first : found.last + 1] == bytes(size)[first : last + 1]
        assert found.length == min(last, size - 1) - first + 1


@given(st.integers(0, 2500), SIZES)
def test_an_open_range_goes_to_the_end_and_a_suffix_is_the_last_bytes(number: int, size: int) -> None:
    data = bytes(index % 251 for index in range(size))
    for header, expected in (
        (f"bytes={number}-", data[number:]),
        (f"bytes=-{number}", data[-number:] if number else b""),
    ):
        if not expected:
            with pytest.raises(RangeNotSatisfiable):
                read_range(header, size)
        else:
            found = read_range(header, size)
            assert found is not None
            assert data[found.first : found.last + 1] == expected


@given(st.text("bytes=0123456789-, x", max_size=20).map("bytes=".__add__), SIZES)
def test_whatever_comes_is_a_part_of_the_file_or_the_whole_or_not_satisfiable(header: str, size: int) -> None:
    try:
        found = read_range(header, size)
    except RangeNotSatisfiable:
        return
    assert found is None or 0 <= found.first <= found.last < size


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "items=0-1",
        "bytes=0-1,4-5",
        "bytes=1--2",
        "bytes=٣-٤",
        f"bytes={'9' * 40}-",
    ],
)
def test_what_has_no_meaning_and_several_ranges_are_the_whole_file(header: str | None) -> None:
    assert read_range(header, 100) is None


def test_the_unit_may_be_in_capitals() -> None:
    assert read_range("Bytes=2-4", 100) == ByteRange(2, 4)
