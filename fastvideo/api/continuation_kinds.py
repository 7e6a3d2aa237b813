"""The kinds of continuation state that this installation understands."""

from __future__ import annotations

from fastvideo.api.errors import StateInvalid
from fastvideo.api.schema import ContinuationState

# Built-in kinds are known without importing a pipeline, so that an adapter can send a state at once.
_KINDS: set[str] = {"ltx2.v1"}


def register_continuation_kind(kind: str) -> None:
    """Make ``kind`` acceptable in ``request.state``. Raises ValueError for an empty name."""
    if not isinstance(kind, str) or not kind:
        raise ValueError("ContinuationState.kind must be a non-empty string")
    _KINDS.add(kind)


def known_continuation_kinds() -> frozenset[str]:
    """All registered kinds."""
    return frozenset(_KINDS)


def check_continuation_state(state: ContinuationState) -> ContinuationState:
    """The state itself, if its kind is registered and its payload is a mapping; StateInvalid otherwise."""
    if not isinstance(state.kind, str) or not state.kind:
        raise StateInvalid("ContinuationState.kind must be a non-empty string")
    if state.kind not in _KINDS:
        known = ", ".join(sorted(_KINDS))
        raise StateInvalid(f"Unknown ContinuationState kind {state.kind[:80]!r}; known kinds: {known}")
    if not isinstance(state.payload, dict):
        raise StateInvalid(f"ContinuationState.payload must be a mapping, got {type(state.payload).__name__}")
    return state
