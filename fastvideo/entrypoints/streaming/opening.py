"""A session's first message: whether it can be used, and what the session starts with."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fastvideo.api.errors import FastVideoError, ImageInvalid, LimitExceeded, PresetUnknown
from fastvideo.api.presets import get_all_preset_names, get_preset
from fastvideo.api.schema import ContinuationState, RequestLimits, ServeConfig
from fastvideo.api.session_presets import SessionPreset
from fastvideo.entrypoints.access.state_signatures import StateSignatures
from fastvideo.entrypoints.streaming.director import Director, DirectorRules, Prompt
from fastvideo.entrypoints.streaming.error_messages import error_message
from fastvideo.entrypoints.streaming.message_faults import explain_invalid, invalid_reason
from fastvideo.entrypoints.streaming.protocol import (
    ErrorMessage,
    SessionInitV2,
    SessionResume,
    parse_client_text,
)
from fastvideo.entrypoints.streaming.segment_requests import SegmentRequests, operator_requests
from fastvideo.entrypoints.streaming.session_init_image import SessionInitImage, persist_session_init_image
from fastvideo.entrypoints.streaming.state_blobs import check_client_state
from fastvideo.pipelines.basic.ltx2.presets import LTX2_FAMILY

INVALID_INIT = "invalid_init"
EXPECTED_INIT = "expected_session_init_v2"


class OpeningRefused(Exception):
    """The opening message cannot be used: what to tell the client, and the reason of the close that follows."""

    def __init__(self, message: ErrorMessage, close_reason: str = INVALID_INIT) -> None:
        super().__init__(message.message)
        self.message = message
        self.close_reason = close_reason


@dataclass(frozen=True)
class Opening:
    """All that a session starts with. Whoever holds this deletes the image's file."""

    message: SessionInitV2
    director: Director
    requests: SegmentRequests
    state: ContinuationState | None
    image: SessionInitImage | None


def parse_opening(frame: str | bytes) -> SessionInitV2 | SessionResume:
    """The message that opens a session, or goes on with one. Raises OpeningRefused for anything else."""
    if isinstance(frame, bytes):
        raise OpeningRefused(
            ErrorMessage(
                code="invalid_message", message="Expected a text frame with session_init_v2, got a binary one."
            )
        )
    try:
        message = parse_client_text(frame)
    except ValidationError as error:
        raise OpeningRefused(
            ErrorMessage(code="invalid_message", message=explain_invalid(error), reason=invalid_reason(error))
        ) from None
    if isinstance(message, SessionResume):
        return message
    if not isinstance(message, SessionInitV2):
        raise OpeningRefused(
            ErrorMessage(code="invalid_message", message=f"Expected session_init_v2 first, got {message.type}."),
            EXPECTED_INIT,
        )
    if message.stream_mode == "legacy_jpeg":
        raise OpeningRefused(
            ErrorMessage(code="invalid_message", message="stream_mode: legacy_jpeg is not offered; use av_fmp4.")
        )
    return message


async def open_session(
    message: SessionInitV2,
    config: ServeConfig,
    session_presets: Mapping[str, SessionPreset],
    model_defaults: Mapping[str, Any] | None = None,
    signatures: StateSignatures | None = None,
) -> Opening:
    """Check the parts of an opening message, the large ones in a thread. Raises OpeningRefused.

    ``signatures``: of the states that are taken; None takes any that is sound.
    """
    try:
        preset = session_presets.get(message.preset or "")
        requests = operator_requests(config, model_defaults or {}, _chosen_defaults(message.preset, preset))
        curated = message.curated_prompts
        if preset is not None and "curated_prompts" not in message.model_fields_set:
            curated = preset.prompts
        check_curated(curated, requests, "curated_prompts")
        state = None
        if message.continuation_state is not None:
            envelope = message.continuation_state
            state = await asyncio.to_thread(
                check_client_state, envelope.kind, envelope.payload, envelope.signature, signatures
            )
        if state is not None and message.initial_image:
            raise ImageInvalid("initial_image: a stream that goes on from continuation_state has its first picture")
        # Last, because it leaves a file behind.
        image = await _kept_image(message.initial_image)
    except FastVideoError as error:
        raise OpeningRefused(error_message(error)) from None
    return Opening(message, _director(message, config, preset, curated), requests, state, image)


async def _kept_image(payload: Any) -> SessionInitImage | None:
    work = asyncio.ensure_future(asyncio.to_thread(persist_session_init_image, payload))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        # The client left; the thread goes on and its file would stay.
        work.add_done_callback(_drop_image)
        raise


def _drop_image(work: asyncio.Future[SessionInitImage | None]) -> None:
    if not work.cancelled() and work.exception() is None:
        discard_image(work.result())


def discard_image(image: SessionInitImage | None) -> None:
    """Delete the file of an initial image, when there is one."""
    if image is not None:
        Path(image.path).unlink(missing_ok=True)


def _chosen_defaults(name: str | None, preset: SessionPreset | None) -> dict[str, Any]:
    if preset is not None:
        return preset.request_defaults
    if not name:
        return {}
    if name not in get_all_preset_names():
        raise PresetUnknown("preset", f"expected the name of a preset that this server has, got {name[:40]!r}")
    return dict(get_preset(name, LTX2_FAMILY).defaults)


def check_curated(prompts: list[str], requests: SegmentRequests, path: str) -> None:
    """Raise LimitExceeded for too many curated prompts, or one that is too long; blank ones are passed over."""
    limits: RequestLimits = requests.limits
    if len(prompts) > limits.max_curated_prompts:
        raise LimitExceeded(path, f"expected at most {limits.max_curated_prompts} prompts, got {len(prompts)}")
    for index, text in enumerate(prompts):
        if text.strip():
            try:
                requests.check(Prompt(text, source="curated"))
            except LimitExceeded as error:
                if error.path != "prompt":
                    raise
                raise LimitExceeded(f"{path}[{index}]", error.message) from None


def _director(
    message: SessionInitV2, config: ServeConfig, preset: SessionPreset | None, curated: list[str]
) -> Director:
    streaming = config.streaming
    assert streaming is not None
    said = message.model_fields_set
    toggles = preset.toggles if preset else None

    def toggle(field: str, preset_field: str) -> bool:
        # What the client says wins over what its preset turns on.
        if toggles is not None and field not in said:
            return bool(getattr(toggles, preset_field))
        return bool(getattr(message, field))

    return Director(
        DirectorRules(
            segment_cap=streaming.generation_segment_cap,
            at_cap=streaming.at_cap,
            lead_s=streaming.pacing.lead_seconds,
            max_pending=streaming.limits.max_queued_prompts,
        ),
        curated_prompts=curated,
        loop=toggle("loop_generation_enabled", "loop_generation"),
        auto_extension=toggle("auto_extension_enabled", "auto_extension"),
        single_clip=toggle("single_clip_mode", "single_clip_mode"),
    )


def limits_on_the_wire(limits: RequestLimits) -> dict[str, int | float]:
    """The limits by name, for ``ltx2_stream_start`` and ``/v1/info``."""
    return dataclasses.asdict(limits)
