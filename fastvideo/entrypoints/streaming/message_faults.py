"""What is wrong with a client's message, as one sentence that is safe to send back."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from fastvideo.entrypoints.streaming.protocol import MAX_JSON_MARKS, TOO_MANY_VALUES, ErrorReason

MAX_NAME_CHARS = 40
MAX_PATH_PARTS = 6

_FIELD_REASONS: dict[str, ErrorReason] = {"continuation_state": "state_invalid", "initial_image": "image_invalid"}
# Parts of a pydantic location that name a branch of a type, not a field of the message.
_BRANCHES = frozenset({"constrained-str", "constrained-int", "list", "dict"})


def explain_invalid(error: ValidationError) -> str:
    """One sentence: where the message is wrong and what was expected. Quotes no long value."""
    first, *others = error.errors(include_url=False, include_input=False)
    kind, context = first["type"], first.get("ctx", {})
    if kind == "json_invalid":
        return 'The message is not valid JSON; expected an object like {"type": "ping", "id": 1}.'
    if kind == TOO_MANY_VALUES:
        return f"Expected a message with at most {MAX_JSON_MARKS} values in lists and objects; send less at once."
    if kind == "union_tag_not_found":
        return 'Expected a JSON object with a "type"; it has none.'
    if kind == "union_tag_invalid":
        return f"Unknown message type {_shorten(str(context['tag']))}; expected one of {context['expected_tags']}."
    if kind == "model_attributes_type":
        return 'Expected a JSON object with a "type", not another JSON value.'
    path = _path(first["loc"])
    if kind == "missing":
        return f"{path}: required, but missing."
    sentence = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected", 1)
    # A union reports each branch that failed; alternatives for one field are told together.
    alternatives = [other["msg"].removeprefix("Input should be ") for other in others if _path(other["loc"]) == path]
    return f"{path}: {' or '.join([sentence, *alternatives])}."


def invalid_reason(error: ValidationError) -> ErrorReason | None:
    """The `error.reason` that fits: a bad state and a bad image have one of their own."""
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        location = detail["loc"]
        if len(location) > 1 and isinstance(location[1], str) and location[1] in _FIELD_REASONS:
            return _FIELD_REASONS[location[1]]
    return None


def _path(location: Sequence[str | int]) -> str:
    parts = [str(part) if isinstance(part, int) else _shorten(part) for part in location if part not in _BRANCHES]
    if len(parts) > MAX_PATH_PARTS:
        parts = [*parts[:MAX_PATH_PARTS], "…"]
    return ".".join(parts)


def _shorten(text: str) -> str:
    # Client-made names: printable ASCII only, and never long.
    safe = "".join(char if " " <= char <= "~" else "?" for char in text[: MAX_NAME_CHARS + 1])
    return safe if len(safe) <= MAX_NAME_CHARS else safe[:MAX_NAME_CHARS] + "…"
