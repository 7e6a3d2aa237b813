from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastvideo.media.boxes import MAX_BOXES, Box, BoxError, box, box_header, full_box, only, parse_boxes

KINDS = st.binary(min_size=4, max_size=4)


@given(st.lists(st.tuples(KINDS, st.binary(max_size=50)), max_size=8))
def test_what_is_written_is_read_back_in_order(contents: list[tuple[bytes, bytes]]) -> None:
    data = b"".join(box(kind, payload) for kind, payload in contents)
    parsed = parse_boxes(data)
    assert [(found.kind, bytes(found.payload)) for found in parsed] == contents
    assert [data[found.offset : found.end] for found in parsed] == [box(kind, payload) for kind, payload in contents]


@given(st.lists(st.tuples(KINDS, st.binary(max_size=20)), max_size=4), st.integers(0, 12))
def test_children_keep_offsets_of_the_outer_buffer(contents: list[tuple[bytes, bytes]], prefix_bytes: int) -> None:
    data = box(b"free") + box(b"moof", b"x" * prefix_bytes, *(box(kind, payload) for kind, payload in contents))
    for child in parse_boxes(data)[1].children(prefix_bytes):
        assert data[child.offset + 4 : child.offset + 8] == child.kind
        assert data[child.end - len(child.payload) : child.end] == bytes(child.payload)


@given(st.binary(max_size=200))
@example(struct.pack(">I4s", 0, b"mdat"))
@example(struct.pack(">I4s", 7, b"mdat"))
@example(struct.pack(">I4s", 1, b"mdat"))
@example(struct.pack(">I4sQ", 1, b"mdat", 15))
@example(struct.pack(">I4sQ", 1, b"mdat", 2**64 - 1))
@example(struct.pack(">I4s", 0xFFFFFFFF, b"mdat"))
def test_any_bytes_give_boxes_that_tile_them_or_a_box_error(data: bytes) -> None:
    try:
        parsed = parse_boxes(data)
    except BoxError:
        return
    assert b"".join(data[found.offset : found.end] for found in parsed) == data


@given(st.binary(min_size=1, max_size=40), st.data())
def test_every_truncation_is_an_error(payload: bytes, data: st.DataObject) -> None:
    whole = box(b"mdat", payload)
    cut = data.draw(st.integers(1, len(whole) - 1))
    with pytest.raises(BoxError):
        parse_boxes(whole[:cut])


def test_a_64_bit_size_is_read() -> None:
    data = struct.pack(">I4sQ", 1, b"mdat", 16 + 3) + b"abc" + box(b"free")
    parsed = parse_boxes(data)
    assert [(found.kind, bytes(found.payload)) for found in parsed] == [(b"mdat", b"abc"), (b"free", b"")]


def test_a_payload_beyond_4_gib_gets_a_64_bit_size() -> None:
    assert box_header(b"mdat", 2**32) == struct.pack(">I4sQ", 1, b"mdat", 2**32 + 16)
    assert box_header(b"mdat", 2**32 - 9) == struct.pack(">I4s", 2**32 - 1, b"mdat")


def test_a_full_box_starts_with_version_and_flags() -> None:
    (parsed,) = parse_boxes(full_box(b"tfdt", 1, 0x020305, b"\x09"))
    assert parsed.version_and_flags() == (1, 0x020305)
    assert parsed.fields("B", 4) == (9,)


def test_reading_past_a_payload_names_the_box() -> None:
    (parsed,) = parse_boxes(box(b"mfhd", b"abc"))
    with pytest.raises(BoxError, match="'mfhd': 3 payload bytes, expected at least 4"):
        parsed.version_and_flags()
    with pytest.raises(BoxError, match="'mfhd'"):
        parsed.children(4)


def test_a_child_that_is_missing_or_doubled_is_named() -> None:
    twice: list[Box] = parse_boxes(box(b"moov") + box(b"moov"))
    with pytest.raises(BoxError, match="file: expected one 'moov' box, found 2"):
        only(twice, b"moov", within="file")
    with pytest.raises(BoxError, match="'moov': expected one 'mvhd' box, found 0"):
        twice[0].child(b"mvhd")


def test_a_kind_of_another_length_is_refused() -> None:
    with pytest.raises(BoxError, match="4 bytes"):
        box(b"moo", b"")


def test_more_boxes_in_a_row_than_a_message_has_are_refused() -> None:
    assert len(parse_boxes(box(b"free") * MAX_BOXES)) == MAX_BOXES
    with pytest.raises(BoxError, match=f"more than {MAX_BOXES} boxes"):
        parse_boxes(box(b"free") * (MAX_BOXES + 1))
