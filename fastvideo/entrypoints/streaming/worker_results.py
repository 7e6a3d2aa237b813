"""What a generator gives back for a request, without its frames, as a header and buffers and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from fastvideo.api.results import GenerationResult
from fastvideo.entrypoints.streaming.worker_buffers import Buffer, WireError, exactly, packed
from fastvideo.entrypoints.streaming.worker_headers import ResultDoneHeader
from fastvideo.entrypoints.streaming.worker_jobs import state_apart, state_together

_RESULT_KEYS = ("prompt", "prompt_index", "audio_sample_rate", "size", "generation_time", "peak_memory_mb", "extra")


def result_apart(job_id: int, result: GenerationResult) -> tuple[ResultDoneHeader, Sequence[Buffer]]:
    """A job's result as a header and buffers; of what JSON cannot say only what it can."""
    kind, payload = state_apart(result.state)
    shape, sound = None, b""
    if result.audio is not None:
        audio = np.ascontiguousarray(np.atleast_2d(result.audio), np.float32)
        shape, sound = (audio.shape[0], audio.shape[1]), audio.tobytes()
    values = {name: _plain(getattr(result, name)) for name in _RESULT_KEYS}
    return ResultDoneHeader(job_id=job_id, state_kind=kind, audio_shape=shape), [packed(values), payload, sound]


def result_together(header: ResultDoneHeader, buffers: list[Buffer]) -> GenerationResult:
    """The result, without frames. Raises WireError or ValueError for a header and buffers that do not fit."""
    data, payload, sound = exactly(buffers, 3)
    values = msgspec.msgpack.decode(data, type=dict[str, Any])
    if set(values) != set(_RESULT_KEYS) or not isinstance(values["extra"], dict):
        raise WireError(f"expected a result with the keys {', '.join(_RESULT_KEYS)}")
    if values["size"] is not None:
        values["size"] = tuple(values["size"])
    result = GenerationResult(**values, state=state_together(header.state_kind, payload))
    if header.audio_shape is None:
        exactly([sound] if sound else [], 0)
        return result
    # Its own copy, or it would keep all of the message.
    return replace(result, audio=np.frombuffer(bytes(sound), np.float32).reshape(header.audio_shape))


def _plain(value: Any) -> Any:
    """JSON values as they are; of anything else that a generator adds, what JSON can say."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(key): _plain(child) for key, child in value.items() if _sayable(child)}
    if isinstance(value, list | tuple):
        return [_plain(child) for child in value if _sayable(child)]
    return value if _sayable(value) else None


def _sayable(value: Any) -> bool:
    return value is None or isinstance(value, str | bool | int | float | list | tuple | dict | np.generic)
