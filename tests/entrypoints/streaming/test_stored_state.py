from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.api.errors import StateInvalid
from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.streaming import stored_state
from fastvideo.entrypoints.streaming.stored_state import decode_state, encode_state


@given(st.binary(max_size=60))
def test_junk_is_no_state_and_no_crash(data: bytes) -> None:
    assert decode_state(data) is None


def test_a_payload_that_is_no_json_is_refused() -> None:
    endless: dict[str, object] = {}
    endless["again"] = endless
    for payload in ({"x": object()}, {"x": "\ud800"}, endless):
        with pytest.raises(StateInvalid, match="JSON"):
            encode_state(ContinuationState("ltx2.v1", payload))


def test_a_state_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_state, "MAX_STORED_STATE_BYTES", 100)
    assert len(encode_state(ContinuationState("ltx2.v1", {"x": "y" * 60}))) <= 100
    with pytest.raises(StateInvalid, match="at most 100 bytes"):
        encode_state(ContinuationState("ltx2.v1", {"x": "y" * 100}))


def test_a_nesting_without_end_is_no_state() -> None:
    assert decode_state(b'{"kind":"x","payload":{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}}") is None
