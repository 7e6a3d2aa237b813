"""What an LTX-2 segment leaves for the next one, and its JSON-safe form (kind ``ltx2.v1``)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastvideo.api.errors import StateInvalid
from fastvideo.api.schema import ContinuationState
from fastvideo.pipelines.basic.ltx2.continuation_blobs import (
    MAX_AUDIO_BYTES,
    MAX_ENCODED_FRAMES_BYTES,
    check_frame_count,
    check_pngs,
    decode_pngs,
    decode_tensor,
    encode_pngs,
    encode_tensor,
    from_base64,
    pack_frames,
    to_base64,
    unpack_frames,
)

if TYPE_CHECKING:
    import torch

LTX2_CONTINUATION_KIND = "ltx2.v1"
LTX2_CONTINUATION_SCHEMA_VERSION = 1
DEFAULT_INLINE_THRESHOLD_BYTES = 2 << 20

FRAMES_MIME = "application/x-fastvideo-frames+png"
TENSOR_MIME = "application/x-fastvideo-tensor+safetensors"

# Two parts, each just under its threshold, would still exceed the 4 MiB that common transports carry as JSON.
_MAX_INLINE_BYTES = 3 << 20
_MAX_METADATA_BYTES = 64 << 10
_MAX_COUNT = 2**31 - 1
_MAX_OFFSET_S = 3600.0
_KEYS = frozenset(
    {
        "schema_version",
        "segment_index",
        "video_conditioning_frame_idx",
        "video_conditioning_strength",
        "audio_conditioning_num_frames",
        "audio_conditioning_strength",
        "video_position_offset_sec",
        "audio_sample_rate",
        "metadata",
        "video",
        "audio",
    }
)


class BlobStore(Protocol):
    """The part of a blob store that a state needs."""

    def put(self, data: bytes, *, mime: str = ...) -> str: ...

    def get(self, blob_id: str) -> bytes: ...


@dataclass
class LTX2ContinuationState:
    """Everything that makes the next segment follow this one.

    ``segment_index``: the segment just finished. ``video_frames``: its trailing frames, uint8 [H, W, 3], oldest first;
    they stand at pixel frame ``video_conditioning_frame_idx`` of the next segment with
    ``video_conditioning_strength`` (1.0 keeps them). ``audio_latents``: trailing normalised latents [B, C, T, mel], of
    which the last ``audio_conditioning_num_frames`` *video* frames' worth are used; ``audio_conditioning_strength`` is
    the mask value itself: 0.0 keeps the sound, 1.0 makes it anew, the opposite sense to video.
    ``video_position_offset_sec``: how much earlier than the next segment's picture its sound begins.
    """

    segment_index: int = 0
    video_frames: list[np.ndarray[Any, np.dtype[np.uint8]]] | None = None
    video_frames_blob_id: str | None = None
    video_conditioning_frame_idx: int = 0
    video_conditioning_strength: float = 1.0
    audio_latents: torch.Tensor | None = None
    audio_latents_blob_id: str | None = None
    audio_sample_rate: int | None = None
    audio_conditioning_num_frames: int = 0
    audio_conditioning_strength: float = 1.0
    video_position_offset_sec: float = 0.0
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_continuation_state(
        self, *, blob_store: BlobStore | None = None, inline_threshold_bytes: int = DEFAULT_INLINE_THRESHOLD_BYTES
    ) -> ContinuationState:
        """The JSON-safe envelope. With a store, a part above the threshold goes there and is referenced by its id.

        A preset blob id is passed through. Raises StateInvalid for frames that are not uint8 HxWx3.
        """
        payload: dict[str, Any] = {
            "schema_version": LTX2_CONTINUATION_SCHEMA_VERSION,
            "segment_index": self.segment_index,
            "video_conditioning_frame_idx": self.video_conditioning_frame_idx,
            "video_conditioning_strength": self.video_conditioning_strength,
            "audio_conditioning_num_frames": self.audio_conditioning_num_frames,
            "audio_conditioning_strength": self.audio_conditioning_strength,
            "video_position_offset_sec": self.video_position_offset_sec,
            "metadata": dict(self.metadata),
        }
        if self.audio_sample_rate is not None:
            payload["audio_sample_rate"] = self.audio_sample_rate

        frames = self.video_frames if self.video_frames_blob_id is None else None
        pngs = encode_pngs(frames) if frames else []
        video_bytes = sum(len(png) for png in pngs)
        latents = self.audio_latents if self.audio_latents_blob_id is None else None
        audio = encode_tensor(latents) if latents is not None else b""
        store_video = video_bytes > inline_threshold_bytes
        store_audio = len(audio) > inline_threshold_bytes
        if not (store_video or store_audio) and video_bytes + len(audio) > _MAX_INLINE_BYTES:
            store_video, store_audio = video_bytes >= len(audio), video_bytes < len(audio)

        if self.video_frames_blob_id is not None:
            payload["video"] = {"blob_id": self.video_frames_blob_id}
        elif pngs and blob_store is not None and store_video:
            blob_id = blob_store.put(pack_frames(pngs), mime=FRAMES_MIME)
            payload["video"] = {"blob_id": blob_id, "frame_count": len(pngs)}
        elif pngs:
            payload["video"] = {"frames_b64": [to_base64(png) for png in pngs]}
        if self.audio_latents_blob_id is not None:
            payload["audio"] = {"blob_id": self.audio_latents_blob_id}
        elif audio and blob_store is not None and store_audio:
            payload["audio"] = {"blob_id": blob_store.put(audio, mime=TENSOR_MIME)}
        elif audio:
            payload["audio"] = {"safetensors_b64": to_base64(audio)}
        return ContinuationState(kind=LTX2_CONTINUATION_KIND, payload=payload)

    @classmethod
    def from_continuation_state(
        cls, state: ContinuationState, *, blob_store: BlobStore | None = None
    ) -> LTX2ContinuationState:
        """The state from its envelope; a blob id without a store is kept as an id only.

        Raises StateInvalid (a ValueError) for another kind or schema, an unknown key, or any part that is malformed,
        too large, or not in the store.
        """
        if state.kind != LTX2_CONTINUATION_KIND:
            raise StateInvalid(
                f"Expected ContinuationState.kind {LTX2_CONTINUATION_KIND!r}, got {str(state.kind)[:80]!r}"
            )
        payload = state.payload
        if not isinstance(payload, Mapping):
            raise StateInvalid(f"ContinuationState.payload must be a mapping, got {type(payload).__name__}")
        version = payload.get("schema_version", LTX2_CONTINUATION_SCHEMA_VERSION)
        if type(version) is not int or version != LTX2_CONTINUATION_SCHEMA_VERSION:
            raise StateInvalid(
                f"Unsupported LTX-2 continuation schema version {str(version)[:20]!r}, "
                f"expected {LTX2_CONTINUATION_SCHEMA_VERSION}"
            )
        unknown = sorted(str(key)[:40] for key in payload if key not in _KEYS)
        if unknown:
            raise StateInvalid(f"unknown keys in the continuation payload: {', '.join(unknown[:5])}")
        sample_rate = payload.get("audio_sample_rate")
        video_id, frames = _video(payload.get("video"), blob_store)
        audio_id, latents = _audio(payload.get("audio"), blob_store)
        return cls(
            segment_index=_integer(payload, "segment_index", 0),
            video_frames=frames,
            video_frames_blob_id=video_id,
            video_conditioning_frame_idx=_integer(payload, "video_conditioning_frame_idx", 0),
            video_conditioning_strength=_real(payload, "video_conditioning_strength", 1.0, 1.0),
            audio_latents=latents,
            audio_latents_blob_id=audio_id,
            audio_sample_rate=None if sample_rate is None else _integer(payload, "audio_sample_rate", 0),
            audio_conditioning_num_frames=_integer(payload, "audio_conditioning_num_frames", 0),
            audio_conditioning_strength=_real(payload, "audio_conditioning_strength", 1.0, 1.0),
            video_position_offset_sec=_real(payload, "video_position_offset_sec", 0.0, _MAX_OFFSET_S),
            metadata=_metadata(payload.get("metadata", {})),
        )


def _integer(payload: Mapping[str, Any], key: str, default: int) -> int:
    value = payload.get(key, default)
    if type(value) is not int or not 0 <= value <= _MAX_COUNT:
        raise StateInvalid(f"{key}: expected an integer from 0, got {str(value)[:40]!r}")
    return value


def _real(payload: Mapping[str, Any], key: str, default: float, highest: float) -> float:
    value = payload.get(key, default)
    if type(value) not in (int, float) or not math.isfinite(value) or not 0.0 <= value <= highest:
        raise StateInvalid(f"{key}: expected a number from 0 to {highest:g}, got {str(value)[:40]!r}")
    return float(value)


def _metadata(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise StateInvalid(f"metadata: expected a mapping, got {type(value).__name__}")
    try:
        size_bytes = len(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise StateInvalid("metadata: expected plain JSON values") from error
    if size_bytes > _MAX_METADATA_BYTES:
        raise StateInvalid(f"metadata: {size_bytes} bytes of JSON are more than the {_MAX_METADATA_BYTES} accepted")
    return dict(value)


def check_ltx2_state(state: ContinuationState) -> None:
    """Raise StateInvalid unless ``from_continuation_state`` can read this. Decodes one frame at a time."""
    rest = dict(state.payload)
    _, files = _video_files(rest.pop("video", None), None)
    LTX2ContinuationState.from_continuation_state(ContinuationState(kind=state.kind, payload=rest))
    if files is not None:
        check_pngs(files)


def _video(part: Any, store: BlobStore | None) -> tuple[str | None, list[np.ndarray[Any, np.dtype[np.uint8]]] | None]:
    blob_id, files = _video_files(part, store)
    return blob_id, None if files is None else decode_pngs(files)


def _video_files(part: Any, store: BlobStore | None) -> tuple[str | None, list[bytes] | None]:
    if part is None:
        return None, None
    if "blob_id" in _part(part, "video", {"frames_b64", "blob_id", "frame_count"}):
        blob_id, blob = _blob(part, "video", store)
        if blob is None:
            return blob_id, None
        files = unpack_frames(blob)
        count = part.get("frame_count", len(files))
        if count != len(files):
            raise StateInvalid(f"video.frame_count: the blob holds {len(files)} frames, got {str(count)[:20]!r}")
        return None, files
    texts = part.get("frames_b64")
    if not isinstance(texts, list):
        raise StateInvalid("video: expected frames_b64 (a list) or blob_id")
    check_frame_count(len(texts))
    left_bytes = MAX_ENCODED_FRAMES_BYTES
    files = []
    for index, text in enumerate(texts):
        files.append(from_base64(text, f"video.frames_b64[{index}]", left_bytes))
        left_bytes -= len(files[-1])
    return None, files


def _audio(part: Any, store: BlobStore | None) -> tuple[str | None, torch.Tensor | None]:
    if part is None:
        return None, None
    if "blob_id" in _part(part, "audio", {"safetensors_b64", "blob_id"}):
        blob_id, blob = _blob(part, "audio", store)
        return (blob_id, None) if blob is None else (None, decode_tensor(blob))
    return None, decode_tensor(from_base64(part.get("safetensors_b64"), "audio.safetensors_b64", MAX_AUDIO_BYTES))


def _part(part: Any, path: str, keys: set[str]) -> Mapping[str, Any]:
    if not isinstance(part, Mapping):
        raise StateInvalid(f"{path}: expected a mapping, got {type(part).__name__}")
    unknown = sorted(str(key)[:40] for key in part if key not in keys)
    if unknown:
        raise StateInvalid(f"{path}: unknown keys: {', '.join(unknown[:5])}")
    return part


def _blob(part: Mapping[str, Any], path: str, store: BlobStore | None) -> tuple[str, bytes | None]:
    blob_id = part["blob_id"]
    if not isinstance(blob_id, str) or not 0 < len(blob_id) <= 256:
        raise StateInvalid(f"{path}.blob_id: expected a short, non-empty string")
    if store is None:
        return blob_id, None
    try:
        return blob_id, store.get(blob_id)
    except KeyError as error:
        raise StateInvalid(
            f"{path}.blob_id: the store has no such blob; it expired or belongs to another session"
        ) from error
