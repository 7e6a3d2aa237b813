import pytest

from fastvideo.api.errors import (
    CheckpointError,
    ConfigValidationError,
    EncodeError,
    GenerationFailed,
    ImageInvalid,
    LimitExceeded,
    PresetUnknown,
    StateInvalid,
)
from fastvideo.entrypoints.streaming.error_messages import error_message
from fastvideo.entrypoints.streaming.gpu_pool import PoolAcquireTimeout, PoolUnavailable, QueueFull
from fastvideo.entrypoints.streaming.segment_channel import ReaderTooSlow
from fastvideo.entrypoints.streaming.segment_coding import TimelineBroken
from fastvideo.entrypoints.streaming.session_store import StoreFull


@pytest.mark.parametrize(
    ("error", "code", "reason", "retryable"),
    [
        (ConfigValidationError("prompt", "bad"), "invalid_message", None, False),
        (LimitExceeded("sampling.seed", "bad"), "invalid_message", "limit_exceeded", False),
        (PresetUnknown("preset", "bad"), "preset_mismatch", None, False),
        (StateInvalid("bad"), "invalid_message", "state_invalid", False),
        (ImageInvalid("bad"), "invalid_message", "image_invalid", False),
        (GenerationFailed("bad"), "worker_failed", None, True),
        (EncodeError("bad"), "worker_failed", None, True),
        (TimelineBroken("bad"), "worker_failed", None, False),
        (QueueFull("bad"), "gpu_unavailable", None, True),
        (PoolAcquireTimeout("bad"), "gpu_unavailable", None, True),
        (PoolUnavailable("bad"), "gpu_unavailable", None, False),
        (ReaderTooSlow("bad"), "session_rejected", None, True),
        (StoreFull("bad"), "internal_error", None, True),
        (ZeroDivisionError("bad"), "internal_error", None, False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_has_a_documented_code(error: Exception, code: str, reason: str | None, retryable: bool) -> None:
    message = error_message(error)
    assert (message.code, message.reason, message.retryable) == (code, reason, retryable)
    assert message.message.endswith(".")


@pytest.mark.parametrize("kind", [GenerationFailed, EncodeError, CheckpointError, StoreFull, ValueError])
def test_what_libraries_and_workers_say_stays_on_the_server(kind: type[Exception]) -> None:
    assert "secret" not in error_message(kind("/secret/path: libsecret failed")).message


def test_fields_are_named_as_the_client_sent_them() -> None:
    error = LimitExceeded("sampling.num_inference_steps", "expected 1 to 100 steps, got 1000")
    assert error_message(error).message == "num_inference_steps: expected 1 to 100 steps, got 1000."


def test_a_long_sentence_is_cut() -> None:
    assert len(error_message(StateInvalid("x" * 10_000)).message) <= 500
