"""Errors that cross from a worker process: taken apart there, raised again here as the same class."""

from __future__ import annotations

from fastvideo.api.errors import (
    CheckpointError,
    ConfigValidationError,
    EncodeError,
    FastVideoError,
    GenerationCancelled,
    GenerationFailed,
    ImageInvalid,
    LimitExceeded,
    PresetUnknown,
    StateInvalid,
)
from fastvideo.entrypoints.streaming.segment_channel import ReaderTooSlow
from fastvideo.entrypoints.streaming.segment_coding import TimelineBroken
from fastvideo.entrypoints.streaming.worker_messages import Fault

_MAX_CHARS = 2000

_PLAIN: dict[str, type[FastVideoError]] = {
    kind.__name__: kind
    for kind in (
        CheckpointError,
        EncodeError,
        GenerationCancelled,
        GenerationFailed,
        ImageInvalid,
        ReaderTooSlow,
        StateInvalid,
        TimelineBroken,
    )
}
_WITH_PATH: dict[str, type[ConfigValidationError]] = {
    kind.__name__: kind for kind in (ConfigValidationError, LimitExceeded, PresetUnknown)
}


class WorkerError(FastVideoError):
    """An error of a class that is known in the worker alone; code, reason and retryable are those it had there."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.__dict__.update(code=fault.code, reason=fault.reason, retryable=fault.retryable)


def fault_of(error: FastVideoError) -> Fault:
    """What to send of an error: the nearest class that the other side knows, and the error's own sentence."""
    path, message = None, str(error)
    if isinstance(error, ConfigValidationError):
        path, message = error.path[:_MAX_CHARS], error.message
    names = (base.__name__ for base in type(error).__mro__)
    kind = next((name for name in names if name in _PLAIN or name in _WITH_PATH), "")
    return Fault(kind, message[:_MAX_CHARS], error.code, error.reason, error.retryable, path)


def error_of(fault: Fault) -> FastVideoError:
    """The error to raise for a fault."""
    if fault.kind in _WITH_PATH:
        return _WITH_PATH[fault.kind](fault.path or "", fault.message)
    if fault.kind in _PLAIN:
        return _PLAIN[fault.kind](fault.message)
    return WorkerError(fault)
