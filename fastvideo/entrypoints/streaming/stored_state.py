"""A continuation state as the bytes that stores keep: one JSON object with ``kind`` and ``payload``."""

from __future__ import annotations

from typing import Any

import msgspec

from fastvideo.api.errors import StateInvalid
from fastvideo.api.schema import ContinuationState

# The 40 MB of JSON that a snapshot may have, and room for what is around it.
MAX_STORED_STATE_BYTES = 48 << 20


class _StoredState(msgspec.Struct, forbid_unknown_fields=True):
    kind: str
    payload: dict[str, Any]


_DECODER = msgspec.json.Decoder(_StoredState)


def encode_state(state: ContinuationState) -> bytes:
    """The state as JSON; raises StateInvalid when it is none or longer than ``MAX_STORED_STATE_BYTES``."""
    try:
        data = msgspec.json.encode(_StoredState(state.kind, state.payload))
    except (TypeError, ValueError, RecursionError, UnicodeError):
        raise StateInvalid("the state: expected a payload that is JSON, and not nested without end") from None
    if len(data) > MAX_STORED_STATE_BYTES:
        raise StateInvalid(f"the state: expected at most {MAX_STORED_STATE_BYTES} bytes of JSON, got {len(data)}")
    return data


def decode_state(data: bytes) -> ContinuationState | None:
    """What :func:`encode_state` made, None for anything else."""
    try:
        stored = _DECODER.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None
    return ContinuationState(kind=stored.kind, payload=stored.payload)
