"""What a user says when a stream begins, as the protocol's opening message."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from pydantic import JsonValue

from fastvideo.client.image_file import ImageFile, ImageSource
from fastvideo.entrypoints.streaming.protocol import ContinuationStateSnapshot, SessionInitV2, StateEnvelope

StateSource: TypeAlias = StateEnvelope | ContinuationStateSnapshot | Mapping[str, Any]


def opening_message(
    *,
    prompts: Sequence[str] = (),
    keep_going: bool = True,
    loop: bool = False,
    enhance: bool = False,
    single_clip: bool = False,
    preset: str | None = None,
    image: ImageSource | None = None,
    state: StateSource | None = None,
    record: bool | None = None,
    client_id: str | None = None,
) -> SessionInitV2:
    """The message; ``image`` is read here. Raises OSError, ImageInvalid and pydantic's ValidationError."""
    return SessionInitV2(
        client_id=client_id,
        preset=preset,
        curated_prompts=list(prompts),
        initial_image=_image(image) if image is not None else None,
        enhancement_enabled=enhance,
        auto_extension_enabled=keep_going,
        loop_generation_enabled=loop,
        single_clip_mode=single_clip,
        continuation_state=_envelope(state) if state is not None else None,
        record=record,
    )


def _image(source: str | os.PathLike[str] | bytes) -> dict[str, JsonValue]:
    image = ImageFile.read(source)
    return {"mime": image.mime, "name": image.name, "data": image.base64}


def _envelope(state: StateSource) -> StateEnvelope:
    if isinstance(state, ContinuationStateSnapshot):
        return state.state
    return state if isinstance(state, StateEnvelope) else StateEnvelope.model_validate(dict(state))
