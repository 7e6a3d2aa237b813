"""Continuation states on their way in and out: large parts lie in the blob store, clients see them whole."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import to_json

from fastvideo.api.continuation_kinds import check_continuation_state
from fastvideo.api.errors import StateInvalid
from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.access.state_signatures import StateSignatures
from fastvideo.entrypoints.streaming.blob_store import BlobStore
from fastvideo.entrypoints.streaming.store_errors import StoreUnavailable
from fastvideo.pipelines.basic.ltx2.continuation import (
    DEFAULT_INLINE_THRESHOLD_BYTES,
    FRAMES_MIME,
    LTX2_CONTINUATION_KIND,
    TENSOR_MIME,
    check_ltx2_state,
)
from fastvideo.pipelines.basic.ltx2.continuation_blobs import (
    MAX_AUDIO_BYTES,
    MAX_ENCODED_FRAMES_BYTES,
    from_base64,
    pack_frames,
    to_base64,
    unpack_frames,
)

logger = logging.getLogger(__name__)

MAX_STATE_JSON_BYTES = 40_000_000
_PARTS = ("video", "audio")


def check_client_state(
    kind: str,
    payload: dict[str, Any],
    signature: str | None = None,
    signatures: StateSignatures | None = None,
) -> ContinuationState:
    """A state that a client sent, after checking every part of it, and that it is one of ours where ``signatures`` are
    asked for. Raises StateInvalid.

    It must be self-contained: ids of blobs never leave the server, so one that comes in was made up or stolen.
    """
    if signatures is not None:
        signatures.check(kind, payload, signature)
    state = check_continuation_state(ContinuationState(kind=kind, payload=payload))
    if len(to_json(payload)) > MAX_STATE_JSON_BYTES:
        raise StateInvalid(f"continuation_state: expected at most {MAX_STATE_JSON_BYTES} bytes of JSON")
    if state.kind == LTX2_CONTINUATION_KIND:
        if blob_ids(state):
            raise StateInvalid("continuation_state: expected its frames and sound inline, got the id of a stored blob")
        check_ltx2_state(state)
    return state


def blob_ids(state: ContinuationState) -> list[str]:
    """The blobs that a state refers to."""
    parts = [state.payload.get(name) for name in _PARTS] if state.kind == LTX2_CONTINUATION_KIND else []
    return [part["blob_id"] for part in parts if isinstance(part, Mapping) and "blob_id" in part]


def to_blobs(
    state: ContinuationState, store: BlobStore, *, threshold_bytes: int = DEFAULT_INLINE_THRESHOLD_BYTES
) -> ContinuationState:
    """The state with each part above the threshold in ``store``, byte for byte; on an error none is left there.

    Raises StoreFull, StoreUnavailable, StateInvalid.
    """
    if state.kind != LTX2_CONTINUATION_KIND:
        return state
    payload = dict(state.payload)
    video, audio = (payload.get(name) for name in _PARTS)
    put: list[str] = []
    try:
        if isinstance(video, Mapping) and _base64_bytes(video.get("frames_b64")) > threshold_bytes:
            files = [
                from_base64(text, f"video.frames_b64[{index}]", MAX_ENCODED_FRAMES_BYTES)
                for index, text in enumerate(video["frames_b64"])
            ]
            put.append(store.put(pack_frames(files), mime=FRAMES_MIME))
            payload["video"] = {"blob_id": put[-1], "frame_count": len(files)}
        if isinstance(audio, Mapping) and _base64_bytes(audio.get("safetensors_b64")) > threshold_bytes:
            blob = from_base64(audio["safetensors_b64"], "audio.safetensors_b64", MAX_AUDIO_BYTES)
            put.append(store.put(blob, mime=TENSOR_MIME))
            payload["audio"] = {"blob_id": put[-1]}
    except BaseException:
        drop_blobs(put, store)
        raise
    return ContinuationState(kind=state.kind, payload=payload)


def drop_blobs(ids: Iterable[str], store: BlobStore) -> None:
    """Drop blobs as far as the store can be reached; what it keeps ends with its time to live."""
    try:
        for blob_id in ids:
            store.drop(blob_id)
    except StoreUnavailable:
        logger.warning("blobs that nobody refers to stay until they expire", exc_info=True)


def inline(state: ContinuationState, store: BlobStore) -> ContinuationState:
    """The state without references. Raises StateInvalid when a blob is gone, StoreUnavailable."""
    if not blob_ids(state):
        return state
    payload = dict(state.payload)
    try:
        for name in _PARTS:
            part = payload.get(name)
            if isinstance(part, Mapping) and "blob_id" in part:
                blob = store.get(part["blob_id"])
                payload[name] = (
                    {"frames_b64": [to_base64(file) for file in unpack_frames(blob)]}
                    if name == "video"
                    else {"safetensors_b64": to_base64(blob)}
                )
    except KeyError:
        raise StateInvalid("a part of the session's state expired; start a new session") from None
    return ContinuationState(kind=state.kind, payload=payload)


def _base64_bytes(text: Any) -> int:
    if isinstance(text, list):
        return sum(_base64_bytes(item) for item in text)
    return len(text) // 4 * 3 if isinstance(text, str) else 0
