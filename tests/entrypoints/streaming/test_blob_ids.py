from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.entrypoints.streaming.blob_ids import is_blob_id, may_read, new_blob_id, owner_tag, tag_of


@given(owner=st.text(), other=st.text())
def test_an_id_is_for_its_owner_alone(owner: str, other: str) -> None:
    blob_id = new_blob_id(owner)
    assert is_blob_id(blob_id)
    assert tag_of(blob_id) == owner_tag(owner)
    assert may_read(blob_id, owner)
    assert may_read(blob_id, other) == (owner == other)
    assert not may_read(blob_id, None)


def test_an_id_without_an_owner_is_for_anybody() -> None:
    assert may_read(new_blob_id(None), None)
    assert may_read(new_blob_id(None), "anybody")


def test_an_id_has_192_random_bits_and_does_not_give_its_owner_away() -> None:
    ids = {new_blob_id("somebody") for _ in range(100)}
    assert len({blob_id[33:] for blob_id in ids}) == 100
    assert all(len(blob_id) == 33 + 192 // 6 and "somebody" not in blob_id for blob_id in ids)


@pytest.mark.parametrize("odd", [None, 5, b"x" * 65, "", "x" * 65, "0" * 32 + "-" + "x" * 32 + "\n"])
def test_anything_else_is_no_id(odd: object) -> None:
    assert not is_blob_id(odd)
    assert not may_read(odd, None)
