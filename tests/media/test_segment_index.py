"""The index in front of a file: always as large, and always of the whole file."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvideo.media.boxes import BoxError, parse_boxes
from fastvideo.media.movie_fragment import DELTA_FLAGS, KEYFRAME_FLAGS, Sample, TrackRun, write_fragment
from fastvideo.media.segment_index import INDEX_BYTES, MAX_ENTRIES, SegmentIndex, fragment_pairs

TIMESCALE = 600
FRAME = 25


def fragment(sequence: int, tick: int, frames: int, *, keyframe: bool = True, size: int = 10) -> bytes:
    first = KEYFRAME_FLAGS if keyframe else DELTA_FLAGS
    samples = [Sample([bytes(size)], FRAME, first if index == 0 else DELTA_FLAGS) for index in range(frames)]
    sound = TrackRun(2, 1024 * sequence, [Sample([b"sound"], 1024)])
    return write_fragment(sequence, [TrackRun(1, tick, samples), sound] if frames else [sound])


def noted(index: SegmentIndex, data: bytes) -> bool:
    """Add whole fragments; whether all were new."""
    found = [index.read(moof, size) for moof, size in fragment_pairs(data)]
    for one in found:
        if one is not None:
            index.note(one)
    return None not in found


def entries(data: bytes) -> tuple[int, list[tuple[int, int, bool]]]:
    """First tick, and each entry's size, ticks and whether it begins with a keyframe."""
    free, sidx = parse_boxes(data)
    assert (free.kind, sidx.kind) == (b"free", b"sidx")
    track, timescale, first, between, _, count = struct.unpack_from(">IIQQHH", sidx.payload, 4)
    assert (track, timescale, between) == (1, TIMESCALE, 0)
    rows = [struct.unpack_from(">3I", sidx.payload, 32 + 12 * number) for number in range(count)]
    assert len(sidx.payload) == 32 + 12 * count
    return first, [(size, ticks, bool(sap >> 31)) for size, ticks, sap in rows]


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(1, 50)), min_size=1, max_size=20),
    st.integers(0, 10**9),
    st.integers(1, 10**6),
)
def test_it_covers_every_byte_and_every_tick_in_entries_that_begin_with_keyframes(
    shapes: list[tuple[int, bool, int]], start: int, sequence: int
) -> None:
    index, tick, total = SegmentIndex(1, TIMESCALE), start, 0
    pictured = False
    for number, (frames, keyframe, size) in enumerate(shapes):
        data = fragment(sequence + number, tick, frames, keyframe=keyframe, size=size)
        assert noted(index, data)
        tick, total, pictured = tick + frames * FRAME, total + len(data), pictured or frames > 0
    boxes = index.boxes()
    first, rows = entries(boxes)
    assert len(boxes) == INDEX_BYTES
    assert first == (start if pictured else 0)
    assert sum(size for size, _, _ in rows) == index.media_bytes == total
    assert sum(ticks for _, ticks, _ in rows) == tick - start
    assert index.duration_s == (tick - start) / TIMESCALE
    assert all(key for _, _, key in rows[1:])


def test_a_long_file_has_coarser_entries_and_an_index_of_the_same_size() -> None:
    index, total = SegmentIndex(1, TIMESCALE), 0
    count = MAX_ENTRIES + 8
    for number in range(count):
        data = fragment(number + 1, number * FRAME, 1)
        noted(index, data)
        total += len(data)
    boxes = index.boxes()
    _, rows = entries(boxes)
    assert len(boxes) == INDEX_BYTES
    assert MAX_ENTRIES / 3 < len(rows) <= MAX_ENTRIES
    assert sum(size for size, _, _ in rows) == total
    assert index.duration_s == count * FRAME / TIMESCALE


def test_an_empty_one_is_a_box_that_players_pass_over() -> None:
    (free,) = parse_boxes(SegmentIndex(1, TIMESCALE).boxes())
    assert (free.kind, free.size) == (b"free", INDEX_BYTES)


def test_a_fragment_that_is_there_already_is_passed_over() -> None:
    index = SegmentIndex(1, TIMESCALE)
    data = fragment(5, 100, 2) + fragment(6, 150, 2)
    assert noted(index, data)
    assert not noted(index, data)
    assert index.media_bytes == len(data)


@pytest.mark.parametrize(
    "data",
    [fragment(7, 150, 2), fragment(6, 125, 2), fragment(6, 175, 2), b"", b"moof", fragment(6, 150, 2)[:-1]],
    ids=["a number is missing", "it overlaps", "it leaves a gap", "nothing", "no box", "cut off"],
)
def test_what_does_not_follow_is_an_error_and_changes_nothing(data: bytes) -> None:
    index = SegmentIndex(1, TIMESCALE)
    noted(index, fragment(5, 100, 2))
    before = index.boxes()
    with pytest.raises(BoxError):
        noted(index, data)
    assert index.boxes() == before


def test_times_that_an_index_cannot_hold_are_an_error() -> None:
    index = SegmentIndex(1, TIMESCALE)
    hours = [Sample([b"picture"], 2**31) for _ in range(2)]
    with pytest.raises(BoxError, match="ticks"):
        noted(index, write_fragment(1, [TrackRun(1, 0, hours)]))
