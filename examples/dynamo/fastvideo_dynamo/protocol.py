"""What Dynamo's clients send and get, as requests and events of fastvideo. Knows nothing of Dynamo's own package."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from typing import Any, Literal

from fastvideo.api import (
    ConfigValidationError,
    ContinuationState,
    GenerationRequest,
    StateInvalid,
    VideoFinalEvent,
    VideoPartialEvent,
    VideoProgressEvent,
    get_explicit_paths,
    image_from_upload,
    normalize_generation_request,
)

ResponseFormat = Literal["url", "b64_json"]

DEFAULT_FPS = 24
DEFAULT_SECONDS = 4
MAX_SECONDS = 3600
# What a client may bring back; a state of trailing frames and sound is far smaller.
MAX_STATE_JSON_BYTES = 40_000_000

_SIZE = re.compile(r"\s*([0-9]{1,5})\s*[xX]\s*([0-9]{1,5})\s*")
_SAMPLING = ("fps", "num_inference_steps", "guidance_scale", "guidance_scale_2", "true_cfg_scale", "seed")


def fields_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """What a request sets, under one name each: ``nvext`` wins over the top level; null is the same as absent.

    Dynamo's HTTP frontend puts what it does not know into ``extra_args.media_passthrough``; that counts as top level.
    """
    found: dict[str, Any] = {}
    for source in (_mapping(_mapping(request, "extra_args"), "media_passthrough"), request, _mapping(request, "nvext")):
        found |= {name: value for name, value in source.items() if value is not None}
    return found


def nv_request_to_generation_request(
    request: Mapping[str, Any], *, default_request: GenerationRequest | None = None
) -> GenerationRequest:
    """The generation that a client asks for. What it does not set is left to the operator and to the model's preset.

    ``default_request`` is the operator's: its rate and its length are in force where the client sets none. Blocks while
    it decodes an image. Raises ConfigValidationError, StateInvalid and ImageInvalid, before anything is generated.
    """
    fields = fields_of(request)
    prompt = fields.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise ConfigValidationError("prompt", "expected some text")
    sampling = {name: fields[name] for name in _SAMPLING if name in fields}
    width, height = parse_size(fields.get("size"))
    if width is not None:
        sampling |= {"width": width, "height": height}
    frames = _num_frames(fields, default_request)
    if frames is not None:
        sampling["num_frames"] = frames
    state = fields.get("continuation_state")
    raw = {
        "prompt": prompt,
        "sampling": sampling,
        "output": {"save_video": False, "return_frames": False, "return_state": wants_state(fields)},
        **{name: fields[name] for name in ("negative_prompt",) if name in fields},
    }
    if state is not None:
        raw["state"] = _bounded(state)
    generation = normalize_generation_request(raw)
    if "input_reference" in fields:
        upload = fields["input_reference"]
        if not isinstance(upload, str | bytes):
            raise ConfigValidationError("input_reference", "expected a data:image/...;base64, URL, or bytes")
        generation.inputs.pil_image = image_from_upload(upload, "input_reference")
    return generation


def response_format(fields: Mapping[str, Any]) -> ResponseFormat:
    """How the video is to be delivered; a URL where nothing is said. Raises ConfigValidationError."""
    wanted = fields.get("response_format", "url")
    if wanted not in ("url", "b64_json"):
        raise ConfigValidationError("response_format", "expected url or b64_json")
    return "url" if wanted == "url" else "b64_json"


def wants_state(fields: Mapping[str, Any]) -> bool:
    """Whether the client wants to go on from the video's end: it says so, or it goes on from another one."""
    return fields.get("return_state") is True or "continuation_state" in fields


def wants_stream(fields: Mapping[str, Any]) -> bool:
    """Whether the client wants progress before the video."""
    return fields.get("stream") is True


def parse_size(size: Any) -> tuple[int, int] | tuple[None, None]:
    """Width and height of ``WxH``; two None, which is the preset's size, for what is absent or malformed."""
    match = _SIZE.fullmatch(size) if isinstance(size, str) else None
    return (int(match[1]), int(match[2])) if match is not None else (None, None)


def progress_chunk(head: Mapping[str, Any], event: VideoProgressEvent) -> dict[str, Any]:
    """``progress`` is the share of the stage that is done, 0 to 1."""
    done = event.step / event.total_steps
    return {**head, "status": "generating", "progress": done, "stage": event.stage, "data": []}


def partial_chunk(head: Mapping[str, Any], event: VideoPartialEvent) -> dict[str, Any]:
    """Some frames are decoded; their pictures come with the video."""
    partial = {"index": event.index, "frames": len(event.frames)}
    return {**head, "status": "generating", "progress": 1.0, "stage": "decode", "partial": partial, "data": []}


def final_chunk(
    head: Mapping[str, Any], event: VideoFinalEvent, video: Mapping[str, Any], *, inference_time_s: float
) -> dict[str, Any]:
    """The whole video: ``video`` is its ``url`` or its ``b64_json``."""
    state = event.continuation_state
    return {
        **head,
        "status": "completed",
        "progress": 1.0,
        "data": [{**video, "output_format": "mp4"}],
        "inference_time_s": inference_time_s,
        "nvext": {"continuation_state": None if state is None else state_of(state)},
    }


def state_of(state: ContinuationState) -> dict[str, Any]:
    """A continuation state as clients keep it and bring it back."""
    return {"kind": state.kind, "payload": state.payload}


def base64_of(data: bytes) -> str:
    """Bytes as they travel in JSON."""
    return base64.b64encode(data).decode("ascii")


def _num_frames(fields: Mapping[str, Any], default_request: GenerationRequest | None) -> int | None:
    if "num_frames" in fields:
        frames: int = fields["num_frames"]
        return frames
    explicit = frozenset[str]() if default_request is None else get_explicit_paths(default_request)
    if "seconds" not in fields and "sampling.num_frames" in explicit:
        return None
    fps = fields.get("fps")
    if fps is None and default_request is not None and "sampling.fps" in explicit:
        fps = default_request.sampling.fps
    seconds = _number("seconds", fields.get("seconds", DEFAULT_SECONDS))
    return max(1, round(seconds * _number("fps", DEFAULT_FPS if fps is None else fps)))


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_SECONDS:
        raise ConfigValidationError(name, f"expected a number above 0, and of at most {MAX_SECONDS}")
    return float(value)


def _bounded(state: Any) -> dict[str, Any]:
    """A state as it came, if it is an object of a kind and a payload that is not too large."""
    if not isinstance(state, Mapping) or set(state) != {"kind", "payload"}:
        raise StateInvalid("continuation_state: expected an object of kind and payload, as an earlier video gave it")
    if _json_bytes(state["payload"]) > MAX_STATE_JSON_BYTES:
        raise StateInvalid(f"continuation_state: expected at most {MAX_STATE_JSON_BYTES} bytes of JSON")
    return dict(state)


def _json_bytes(value: Any) -> float:
    try:
        return len(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return math.inf


def _mapping(source: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = source.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise ConfigValidationError(name, "expected an object")
    return value or {}
