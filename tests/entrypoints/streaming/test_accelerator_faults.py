import subprocess
import sys

import pytest
import torch

from fastvideo.api.errors import GenerationFailed
from fastvideo.entrypoints.streaming.accelerator_faults import accelerator_lost

ILLEGAL = "CUDA error: an illegal memory access was encountered"


def accelerator_error(text: str, code: int | None = None) -> Exception:
    error = torch.AcceleratorError(text)
    if code is not None:
        error.error_code = code
    return error


@pytest.mark.parametrize(
    "error",
    [
        accelerator_error(ILLEGAL, 700),
        accelerator_error("CUDA error: device-side assert triggered", 710),
        accelerator_error("CUDA error: unspecified launch failure"),
    ],
    ids=["illegal access", "assertion", "without its number"],
)
def test_errors_that_outlast_their_call_lose_the_accelerator(error) -> None:
    assert accelerator_lost(error)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        accelerator_error("CUDA error: out of memory", 2),
        accelerator_error("CUDA error: out of memory"),
        accelerator_error("CUDA error: invalid configuration argument", 9),
        RuntimeError(ILLEGAL),
        type("AcceleratorError", (RuntimeError,), {"__module__": "torchlight"})(ILLEGAL),
        SystemExit(1),
    ],
    ids=["memory", "memory of the driver", "by its text", "one call", "no class of torch", "another library", "exit"],
)
def test_other_errors_leave_it(error) -> None:
    assert not accelerator_lost(error)


def test_an_error_that_stands_for_another_is_seen_through() -> None:
    raised: list[BaseException] = []
    try:
        try:
            raise accelerator_error(ILLEGAL, 700)
        except RuntimeError as cause:
            raise GenerationFailed("the step failed") from cause
    except GenerationFailed as error:
        raised.append(error)
    try:
        try:
            raise accelerator_error(ILLEGAL, 700)
        except RuntimeError:
            _ = {}["cleaning up"]
    except KeyError as error:
        raised.append(error)
    assert [accelerator_lost(error) for error in raised] == [True, True]
    loop = ValueError()
    loop.__cause__ = loop
    assert not accelerator_lost(loop)


def test_nothing_of_torch_is_imported_to_know() -> None:
    code = "import sys, fastvideo.entrypoints.streaming.accelerator_faults; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
