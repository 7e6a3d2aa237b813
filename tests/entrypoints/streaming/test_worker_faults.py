import pytest

from fastvideo.api import errors
from fastvideo.entrypoints.streaming.error_messages import error_message
from fastvideo.entrypoints.streaming.segment_channel import ReaderTooSlow
from fastvideo.entrypoints.streaming.segment_coding import TimelineBroken
from fastvideo.entrypoints.streaming.worker_faults import error_of, fault_of


@pytest.mark.parametrize(
    "error",
    [
        errors.StateInvalid("the state is of another model"),
        errors.ImageInvalid("not a picture"),
        errors.GenerationCancelled("stop"),
        errors.GenerationFailed("no frames"),
        errors.EncodeError("no coder"),
        errors.CheckpointError("no weights"),
        errors.ConfigValidationError("sampling.width", "expected a multiple of 32"),
        errors.LimitExceeded("prompt", "too long"),
        errors.PresetUnknown("preset", "no such preset"),
        TimelineBroken("cut"),
        ReaderTooSlow("slow"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_back_as_itself_and_tells_clients_the_same(error) -> None:
    again = error_of(fault_of(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert error_message(again) == error_message(error)


class Melted(errors.FastVideoError):
    code = "gpu_unavailable"
    retryable = True


class Unlucky(errors.GenerationFailed):
    pass


def test_a_class_that_only_the_worker_knows_keeps_its_code_and_tells_clients_nothing_else() -> None:
    again = error_of(fault_of(Melted("/dev/gpu0 is on fire")))
    assert (again.code, again.retryable, again.reason) == ("gpu_unavailable", True, None)
    assert "fire" not in error_message(again).message
    assert type(error_of(fault_of(Unlucky("x")))) is errors.GenerationFailed


def test_a_sentence_has_an_end() -> None:
    assert len(fault_of(errors.StateInvalid("x" * 10_000)).message) == 2000
