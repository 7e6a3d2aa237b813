"""Several prompts in one answer: JSON as asked for, or lines, numbered or not."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from fastvideo.entrypoints.streaming.prompt.answers import as_prompt, checked_length, unwrapped
from fastvideo.entrypoints.streaming.prompt.providers.base import LLMProviderError

_JSON_START = re.compile(r"^[ \t]*(?:\{|\[\s*[\"\[{\]])", re.MULTILINE)
# A number needs its dot or bracket, and no further digit: "2.5 metres of snow" begins with a word, not with a number.
_MARKER = re.compile(r"\s*(?:[-*•–]\s+|\(?\d{1,3}[.):](?!\d)\s*|\[\d{1,3}\]\s*)")
_NAMED_OR_NUMBERED = re.compile(r"prompts?|\D*\d+")


def json_wanted(count: int) -> str:
    """What to tell a model, so that :func:`alternatives_of` reads its answer."""
    prompts = "1 prompt" if count == 1 else f"{count} prompts"
    return f'Answer with exactly {prompts}, as strict JSON of this form and nothing else: {{"prompts": ["...", "..."]}}'


def alternatives_of(answer: str, *, count: int, max_chars: int) -> list[str]:
    """The different prompts in an answer, in order, at least one and at most ``count`` of them.

    Reads a JSON list of strings or of objects with one text each, alone or in an object; or one prompt a line, with
    bullets and numbers taken off. Raises LLMProviderError for anything else, and when one is longer than ``max_chars``.
    """
    text = unwrapped(answer)
    start = _JSON_START.search(text)
    found = _from_lines(text) if start is None else _from_json(text[start.start() :])
    prompts = [prompt for prompt in dict.fromkeys(map(as_prompt, found)) if prompt]
    if not prompts:
        raise LLMProviderError("the answer holds no prompt that can be read", reason="malformed")
    return [checked_length(prompt, max_chars) for prompt in prompts[: max(1, count)]]


def _from_json(text: str) -> list[str]:
    end = max(text.rfind("}"), text.rfind("]")) + 1
    try:
        return _texts(msgspec.json.decode(text[:end].encode("utf-8", "replace")))
    except (msgspec.DecodeError, RecursionError):
        # Never read as lines: half of a list would give prompts with brackets in them.
        return []


def _texts(value: Any) -> list[str]:
    if isinstance(value, list):
        return [text for item in value for text in _text(item)]
    if not isinstance(value, dict):
        return []
    for item in (value.get("prompts"), *value.values()):
        if isinstance(item, list):
            return _texts(item)
    # {"1": "...", "2": "..."}; another text under another name may be anything, an error for example.
    return [item for key, item in value.items() if isinstance(item, str) and _NAMED_OR_NUMBERED.fullmatch(key)]


def _text(item: Any) -> list[str]:
    if isinstance(item, str):
        return [item]
    if isinstance(item, dict):
        texts = [value for value in item.values() if isinstance(value, str)]
        return [text] if isinstance(text := item.get("prompt"), str) else texts[:1]
    return []


def _from_lines(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if line.strip()]
    marked = [_MARKER.match(line) is not None for line in lines]
    # "Here are three:" and then a list.
    if lines[0].rstrip().endswith(":") and not marked[0] and any(marked):
        del lines[0]
    return [_MARKER.sub("", line, count=1) if _MARKER.match(line) else line for line in lines]
