from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.media.h264 import length_prefixed, nal_units, parameter_sets

SEQUENCE = bytes.fromhex("6742c01fda010a045a1000")[:-1]
PICTURE = bytes.fromhex("68ce0fc8")
# A NAL unit holds no start code and does not end in zero: H.264's emulation prevention sees to that.
UNITS = st.lists(
    st.binary(min_size=1, max_size=30).filter(lambda unit: b"\0\0" not in unit and unit[-1] != 0), max_size=6
)


@given(UNITS, st.sampled_from([b"\0\0\1", b"\0\0\0\1"]))
def test_units_are_split_at_start_codes_of_either_length(units: list[bytes], start_code: bytes) -> None:
    assert nal_units(b"".join(start_code + unit for unit in units)) == units


@given(st.binary(max_size=100))
def test_any_bytes_can_be_split(data: bytes) -> None:
    for unit in nal_units(data):
        assert unit
        assert unit in data
        assert b"\0\0\1" not in unit


@given(UNITS)
def test_only_what_a_player_needs_is_kept_after_its_length(units: list[bytes]) -> None:
    stored = b"".join(length_prefixed(b"".join(b"\0\0\0\1" + unit for unit in units)))
    kept = []
    while stored:
        size = int.from_bytes(stored[:4], "big")
        kept.append(stored[4 : 4 + size])
        stored = stored[4 + size :]
    assert kept == [unit for unit in units if unit[0] & 0x1F not in (6, 7, 8, 9)]


def test_the_codec_string_and_record_come_from_the_parameter_sets() -> None:
    sets = parameter_sets(b"\0\0\0\1" + SEQUENCE + b"\0\0\1\x06\x05\x01" + b"\0\0\0\1" + PICTURE)
    assert sets.codec == "avc1.42c01f"
    record = sets.configuration_record()
    assert record[:6] == bytes((1, 0x42, 0xC0, 0x1F, 0xFF, 0xE1))
    assert record[6:] == (
        len(SEQUENCE).to_bytes(2, "big") + SEQUENCE + b"\x01" + len(PICTURE).to_bytes(2, "big") + PICTURE
    )


def test_a_high_profile_record_tells_chroma_and_depth() -> None:
    high = b"\x67\x64\x00\x28\xac"
    record = parameter_sets(b"\0\0\1" + high + b"\0\0\1" + PICTURE).configuration_record()
    assert record[-4:] == bytes((0xFD, 0xF8, 0xF8, 0))


@pytest.mark.parametrize("header", [b"", b"\0\0\1" + PICTURE, (b"\0\0\1" + SEQUENCE) * 2 + b"\0\0\1" + PICTURE])
def test_a_header_without_exactly_one_of_each_set_is_refused(header: bytes) -> None:
    with pytest.raises(ValueError, match="expected one sequence and one picture parameter set"):
        parameter_sets(header)
