"""One request with several prompts, as one request per prompt."""

from __future__ import annotations

import copy
from pathlib import Path

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.request_metadata import reset_tracking_roots
from fastvideo.api.schema import GenerationRequest

_FANNED_OUT = ("image_path", "video_path")


def expand_prompts(request: GenerationRequest) -> list[GenerationRequest] | None:
    """A request per prompt of a list, or per non-blank line of ``inputs.prompt_path``; None for a single prompt.

    Lists of image or video paths go along by index. Raises ConfigValidationError (a ValueError) for lists of different
    lengths, a list and a file together, no prompt at all, or an empty file; FileNotFoundError.
    """
    path = request.inputs.prompt_path
    if path is not None:
        if isinstance(request.prompt, list):
            raise ConfigValidationError("inputs.prompt_path", "give a list of prompts or a prompt file, not both")
        prompts = _read_prompts(path)
    elif isinstance(request.prompt, list):
        prompts = request.prompt
        if not prompts:
            raise ConfigValidationError("prompt", "expected at least one prompt, got an empty list")
    elif request.prompt is None:
        raise ConfigValidationError("prompt", "expected a prompt")
    else:
        return None
    for name in _FANNED_OUT:
        values = getattr(request.inputs, name)
        if isinstance(values, list) and len(values) != len(prompts):
            raise ConfigValidationError(f"inputs.{name}", f"expected {len(prompts)}, one per prompt, got {len(values)}")
    return [_single(request, prompt, index) for index, prompt in enumerate(prompts)]


def _single(request: GenerationRequest, prompt: str, index: int) -> GenerationRequest:
    single = copy.copy(request)
    single.inputs = copy.copy(request.inputs)
    reset_tracking_roots(single)
    single.prompt = prompt
    single.inputs.prompt_path = None
    for name in _FANNED_OUT:
        values = getattr(request.inputs, name)
        if isinstance(values, list):
            setattr(single.inputs, name, values[index])
    return single


def _read_prompts(path: str) -> list[str]:
    if not path.endswith(".txt"):
        raise ConfigValidationError("inputs.prompt_path", f"expected a .txt file, one prompt per line, got {path!r}")
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise ConfigValidationError("inputs.prompt_path", f"{path!r} holds no prompt")
    return prompts
