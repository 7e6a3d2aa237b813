"""Signatures on continuation states."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.api.access_config import SnapshotsConfig
from fastvideo.api.errors import ConfigValidationError, StateInvalid
from fastvideo.entrypoints.access.state_signatures import StateSignatures

SECRET = b"s" * 32
PAYLOAD = {"schema_version": 1, "video_conditioning_strength": 1.0, "metadata": {"a": [0.5, True, None], "b": "ä"}}

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def as_javascript_writes(value: Any) -> Any:
    """What becomes of a value in a reader that knows no numbers but doubles, and writes 1 for 1.0."""
    if isinstance(value, dict):
        return {key: as_javascript_writes(item) for key, item in reversed(value.items())}
    if isinstance(value, list):
        return [as_javascript_writes(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    double = float(value)
    return int(double) if double.is_integer() and abs(double) < 1e21 else double


def test_a_state_is_taken_back_as_it_was_given() -> None:
    signatures = StateSignatures(SECRET)
    signature = signatures.sign("ltx2.v1", PAYLOAD)
    assert signature.startswith("fvs1.")
    signatures.check("ltx2.v1", json.loads(json.dumps(PAYLOAD)), signature)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_other_readers_and_writers_of_json_may_have_had_it(payload: dict[str, Any]) -> None:
    signatures = StateSignatures(SECRET)
    returned = json.loads(json.dumps(as_javascript_writes(payload)))
    signatures.check("ltx2.v1", returned, signatures.sign("ltx2.v1", payload))


@pytest.mark.parametrize(
    ("kind", "payload", "signature"),
    [
        ("ltx2.v1", PAYLOAD, None),
        ("ltx2.v1", PAYLOAD, ""),
        ("ltx2.v1", PAYLOAD, "fvs1."),
        ("ltx2.v1", PAYLOAD, "\ud800\u00e4"),
        ("ltx2.v1", PAYLOAD, StateSignatures(b"t" * 32).sign("ltx2.v1", PAYLOAD)),
        ("ltx2.v1", PAYLOAD, StateSignatures(SECRET).sign("ltx2.v1", PAYLOAD).replace("fvs1", "fvs2")),
        ("ltx2.v2", PAYLOAD, StateSignatures(SECRET).sign("ltx2.v1", PAYLOAD)),
        ("ltx2.v1", PAYLOAD | {"more": 1}, StateSignatures(SECRET).sign("ltx2.v1", PAYLOAD)),
        ("ltx2.v1", PAYLOAD | {"schema_version": True}, StateSignatures(SECRET).sign("ltx2.v1", PAYLOAD)),
        ("ltx2.v1", {"large": 10**400}, "fvs1."),
    ],
)
def test_anything_else_is_refused_in_one_sentence(kind: str, payload: dict[str, Any], signature: str | None) -> None:
    with pytest.raises(StateInvalid) as caught:
        StateSignatures(SECRET).check(kind, payload, signature)
    sentence = "continuation_state: expected a snapshot as this service gave it, with its signature"
    assert str(caught.value) == sentence


def test_servers_with_the_same_secret_take_each_others_states_and_others_do_not(monkeypatch: Any) -> None:
    monkeypatch.setenv("SNAPSHOTS", "x" * 32)
    shared = SnapshotsConfig(signed=True, secret_env="SNAPSHOTS")
    here, there, alone = (StateSignatures.of(config) for config in (shared, shared, SnapshotsConfig(signed=True)))
    assert here is not None
    assert there is not None
    assert alone is not None
    there.check("k", {}, here.sign("k", {}))
    with pytest.raises(StateInvalid):
        alone.check("k", {}, here.sign("k", {}))


def test_states_go_unsigned_by_default_and_a_short_secret_is_refused(monkeypatch: Any) -> None:
    assert StateSignatures.of(SnapshotsConfig()) is None
    monkeypatch.setenv("SNAPSHOTS", "short")
    with pytest.raises(ConfigValidationError, match=r"server\.snapshots\.secret_env"):
        StateSignatures.of(SnapshotsConfig(signed=True, secret_env="SNAPSHOTS"))
    with pytest.raises(ValueError, match="32 bytes"):
        StateSignatures(b"short")
