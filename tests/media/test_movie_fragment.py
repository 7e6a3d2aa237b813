from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvideo.media.boxes import BoxError, box, full_box, parse_boxes
from fastvideo.media.movie_fragment import (
    DELTA_FLAGS,
    KEYFRAME_FLAGS,
    Sample,
    TrackRun,
    read_fragments,
    write_fragment,
)

SAMPLES = st.builds(
    Sample,
    parts=st.lists(st.binary(max_size=12), max_size=3),
    duration=st.integers(1, 2**32 - 1),
    flags=st.sampled_from([KEYFRAME_FLAGS, DELTA_FLAGS]),
)
RUNS = st.lists(
    st.builds(
        TrackRun,
        track_id=st.integers(1, 5),
        decode_time=st.integers(0, 2**62),
        samples=st.lists(SAMPLES, min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda run: run.track_id,
)
TWO_TRACKS = write_fragment(
    9,
    [
        TrackRun(1, 512, [Sample([b"key"], 512), Sample([b"de", b"lta"], 512, DELTA_FLAGS)]),
        TrackRun(2, 1024, [Sample([b"sound"], 1024)]),
    ],
)


@given(st.integers(0, 2**32 - 1), RUNS)
def test_what_is_written_is_read_back(sequence: int, runs: list[TrackRun]) -> None:
    (fragment,) = read_fragments(write_fragment(sequence, runs))
    assert fragment.sequence == sequence
    assert set(fragment.tracks) == {run.track_id for run in runs}
    for run in runs:
        time = run.decode_time
        for sample, read in zip(run.samples, fragment.tracks[run.track_id], strict=True):
            assert bytes(read.data) == b"".join(sample.parts)
            assert (read.decode_time, read.duration, read.flags) == (time, sample.duration, sample.flags)
            assert read.keyframe == (sample.flags == KEYFRAME_FLAGS)
            time += sample.duration


@given(RUNS, RUNS)
def test_pairs_that_follow_one_another_are_read_each_from_its_own_data(
    first: list[TrackRun], second: list[TrackRun]
) -> None:
    alone = read_fragments(write_fragment(1, first)) + read_fragments(write_fragment(2, second))
    assert read_fragments(write_fragment(1, first) + write_fragment(2, second)) == alone


@settings(max_examples=300)
@given(st.integers(0, len(TWO_TRACKS) - 1), st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused_but_never_breaks_the_reader(at: int, value: int) -> None:
    changed = bytearray(TWO_TRACKS)
    changed[at] = value
    try:
        fragments = read_fragments(bytes(changed))
    except BoxError:
        return
    size = sum(len(sample.data) for samples in fragments[0].tracks.values() for sample in samples)
    assert size <= 2 * len(TWO_TRACKS)


@given(st.integers(1, len(TWO_TRACKS) - 1))
def test_every_truncation_is_an_error(size: int) -> None:
    with pytest.raises(BoxError):
        read_fragments(TWO_TRACKS[:size])


def test_a_keyframe_in_front_costs_one_field() -> None:
    traf = parse_boxes(TWO_TRACKS)[0].children()[1]
    assert traf.child(b"trun").version_and_flags() == (0, 0x001 | 0x004 | 0x200)
    assert traf.child(b"tfdt").version_and_flags()[0] == 1
    assert traf.child(b"tfhd").version_and_flags()[1] & 0x020000


def test_a_fragment_without_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        write_fragment(1, [TrackRun(1, 0, [])])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "pairs of 'moof' and 'mdat', got 0"),
        (TWO_TRACKS + box(b"mfra"), "got 3 boxes"),
        (box(b"mdat") + box(b"moof"), "expected 'moof' and 'mdat', got 'mdat' and 'moof'"),
        (box(b"moof") + box(b"mdat"), "expected one 'mfhd' box"),
    ],
)
def test_anything_but_whole_pairs_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(BoxError, match=message):
        read_fragments(data)


def test_a_run_that_claims_a_billion_empty_samples_is_refused_at_once() -> None:
    traf = box(
        b"traf",
        full_box(b"tfhd", 0, 0x020038, (1).to_bytes(4, "big"), bytes(12)),
        full_box(b"tfdt", 1, 0, bytes(8)),
        full_box(b"trun", 0, 1, (10**9).to_bytes(4, "big"), bytes(4)),
    )
    with pytest.raises(BoxError, match="1000000000 samples without sizes"):
        read_fragments(box(b"moof", full_box(b"mfhd", 0, 0, bytes(4)), traf) + box(b"mdat"))


def test_a_sample_outside_its_data_is_refused() -> None:
    moof, mdat = parse_boxes(TWO_TRACKS)
    short = TWO_TRACKS[: moof.end] + box(b"mdat", bytes(mdat.payload[:-1]))
    with pytest.raises(BoxError, match="lies outside its 'mdat'"):
        read_fragments(short)


def test_a_run_of_defaults_alone_is_no_longer_than_a_fragment_can_be() -> None:
    """A hundred bytes that say four billion samples: found by ``benchmarks/fuzz.py``."""
    for count, words in ((2**32 - 1, "4294967295 samples, expected at most 4096"), (4096, "lies outside its 'mdat'")):
        header = full_box(b"tfhd", 0, 0x02_0038, struct.pack(">IIII", 1, 512, 1, 0))
        run = full_box(b"trun", 0, 1, struct.pack(">Ii", count, 0))
        traf = box(b"traf", header, full_box(b"tfdt", 0, 0, struct.pack(">I", 0)), run)
        data = box(b"moof", full_box(b"mfhd", 0, 0, struct.pack(">I", 1)), traf) + box(b"mdat", b"x")
        with pytest.raises(BoxError, match=words):
            read_fragments(data)
