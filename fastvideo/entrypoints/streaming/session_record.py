"""All that another server needs to go on with a session, as stores keep it: a state of a kind of its own."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import msgspec

from fastvideo.api.errors import StateInvalid
from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.streaming.director import DirectorRecord
from fastvideo.entrypoints.streaming.protocol import SessionInitV2, SessionResume
from fastvideo.entrypoints.streaming.session_store import SessionStore
from fastvideo.media.timeline import MediaCursor

logger = logging.getLogger(__name__)

RECORD_KIND = "fastvideo.session.v1"
# Large, and of use for the first segment alone.
_LEFT_OUT = {"initial_image", "continuation_state"}


def record_id(session_id: str) -> str:
    """Under which id a store keeps the record of a session, beside its state."""
    return f"{session_id}:session"


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session between two segments, or in one that is made from ``director.running``.

    ``token_digest``: of its resume token; ``cursor``: where that segment, or the next one, starts on the timeline;
    ``state``: what it continues, with the ids of its blobs; ``opening``: the session's first message, without image and
    state; ``enhancement_enabled``: what became of that toggle; ``owner``: the name of the API key
    that it was opened with.
    """

    token_digest: bytes
    stream_id: str
    segment_idx: int
    cursor: MediaCursor
    opening: SessionInitV2
    enhancement_enabled: bool
    director: DirectorRecord
    state: ContinuationState | None
    owner: str | None = None

    @property
    def prompts_heard(self) -> list[str]:
        """Ids of requests that its segments are, or will be, made from."""
        known = self.director
        prompts = [*known.pending, *([known.running] if known.running is not None else [])]
        return [prompt.request_id for prompt in prompts if prompt.request_id is not None]


@dataclass(frozen=True, slots=True)
class Returned:
    """A client that goes on with a session from its record: ``message`` says where it stands."""

    record: SessionRecord
    message: SessionResume


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    token_digest: str
    stream_id: str
    segment_idx: int
    cursor: dict[str, Any]
    opening: dict[str, Any]
    enhancement_enabled: bool
    director: DirectorRecord
    state: ContinuationState | None
    owner: str | None = None


def encode_record(record: SessionRecord) -> ContinuationState:
    """The record as a state that is JSON-safe."""
    stored = _Stored(
        record.token_digest.hex(),
        record.stream_id,
        record.segment_idx,
        record.cursor.to_dict(),
        record.opening.model_dump(mode="json", exclude=_LEFT_OUT, exclude_unset=True) | {"type": record.opening.type},
        record.enhancement_enabled,
        record.director,
        record.state,
        record.owner,
    )
    return ContinuationState(RECORD_KIND, msgspec.to_builtins(stored))


def decode_record(state: ContinuationState) -> SessionRecord:
    """What :func:`encode_record` made. Raises StateInvalid for anything else."""
    if state.kind != RECORD_KIND:
        raise StateInvalid(f"a session's record: expected the kind {RECORD_KIND}, got {state.kind[:40]!r}")
    try:
        stored = msgspec.convert(state.payload, _Stored)
        return SessionRecord(
            bytes.fromhex(stored.token_digest),
            stored.stream_id,
            stored.segment_idx,
            MediaCursor.from_dict(stored.cursor),
            SessionInitV2.model_validate(stored.opening),
            stored.enhancement_enabled,
            stored.director,
            stored.state,
            stored.owner,
        )
    except (msgspec.ValidationError, ValueError) as error:
        raise StateInvalid("a session's record: expected one of this version, got another") from error


def load_record(store: SessionStore, session_id: str) -> SessionRecord | None:
    """The record of a session, None where there is none that can be used. Raises StoreUnavailable."""
    try:
        state = store.snapshot(record_id(session_id))
        return None if state is None else decode_record(state)
    except StateInvalid:
        logger.warning("the record of session %s cannot be used", session_id, exc_info=True)
        return None
