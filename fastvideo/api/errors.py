"""Every error the package raises on purpose.

FastVideoError
├── ConfigValidationError (ValueError)   a config file or request has a wrong value; carries the dotted path
│   ├── LimitExceeded                    a value is beyond the operator's limits
│   └── PresetUnknown                    a preset name nobody registered
├── StateInvalid (ValueError)            a continuation state that cannot be used
├── ImageInvalid (ValueError)            an initial image that cannot be used
├── CheckpointError                      model weights that cannot be loaded
├── EvaluationError (ValueError)         a video, reference or prompt that a metric cannot measure
├── DependencyMissing                    an optional package, or the weights that it needs, is not installed
├── QuotaExceeded                        a client uses more than the operator grants it
├── GenerationCancelled                  somebody asked the generation to stop
├── GenerationFailed                     the generator raised or returned nothing usable
│   └── GeneratorLost                    it cannot go on, and has to be built again
└── EncodeError                          frames or sound that could not be coded

``code`` is one of the seven codes of the wire protocol, ``reason`` refines it, ``retryable`` tells whether the same
request may succeed later.
"""

from __future__ import annotations

from typing import ClassVar


class FastVideoError(Exception):
    """Base of all errors raised on purpose."""

    code: ClassVar[str] = "internal_error"
    reason: ClassVar[str | None] = None
    retryable: ClassVar[bool] = False


class ConfigValidationError(FastVideoError, ValueError):
    """A value that is not valid at ``path`` (dotted, list items as ``[i]``; empty for the whole document)."""

    code = "invalid_message"

    def __init__(self, path: str, message: str) -> None:
        super().__init__(path, message)
        self.path = path
        self.message = message

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class LimitExceeded(ConfigValidationError):
    """A request asks for more than the operator allows."""

    reason = "limit_exceeded"


class PresetUnknown(ConfigValidationError):
    """A preset name that is neither an inference preset nor a session preset."""

    code = "preset_mismatch"


class StateInvalid(FastVideoError, ValueError):
    """A continuation state of the wrong kind, schema, size or shape."""

    code = "invalid_message"
    reason = "state_invalid"


class ImageInvalid(FastVideoError, ValueError):
    """An initial image that is malformed, too large, or not what its MIME type says."""

    code = "invalid_message"
    reason = "image_invalid"


class CheckpointError(FastVideoError):
    """Model weights that are missing, incomplete, or of another model."""


class EvaluationError(FastVideoError, ValueError):
    """A video, its reference or its prompt is not what a metric measures."""

    code = "invalid_message"


class DependencyMissing(FastVideoError):
    """An optional package, or the weights that it needs, is not on this machine."""


class QuotaExceeded(FastVideoError):
    """A client uses more than the operator grants to its key or address; ``retry_after_s`` seconds later it may."""

    code = "session_rejected"
    reason = "rate_limited"
    retryable = True

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class GenerationCancelled(FastVideoError):
    """The generation was stopped on request; nothing is wrong with it."""

    retryable = True


class GenerationFailed(FastVideoError):
    """The generator raised, or returned nothing that can be shown."""

    code = "worker_failed"
    retryable = True


class GeneratorLost(GenerationFailed):
    """The generator lost a process or a device that it needs: this one fails from now on, another one may not."""


class EncodeError(FastVideoError):
    """Frames or sound that cannot be coded as asked."""

    code = "worker_failed"
    retryable = True
