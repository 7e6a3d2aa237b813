"""What a model wrote, as a prompt: one line, without wrapping, and neither empty nor a refusal."""

from __future__ import annotations

import re

from fastvideo.entrypoints.streaming.prompt.providers.base import LLMProviderError

# More than any answer that was asked for; what follows looks at each character more than once.
MAX_ANSWER_CHARS = 65_536

_REFUSAL = re.compile(
    r"(?:i['’]?m|i am) (?:very |so |really )?(?:sorry|unable|not able)\b"
    r"|sorry[,.!]|i apologi[sz]e\b"
    r"|i (?:can['’]?t|cannot|can not|won['’]?t|will not) (?:help|assist|create|write|comply|do|provide|generate|fulfil)"
    r"|as an? (?:ai|artificial|language|large)\b",
    re.IGNORECASE,
)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_FENCE = re.compile(r"```[a-z]*\n(.*?)\n?```", re.DOTALL | re.IGNORECASE)
_QUOTES = {'"': '"', "“": "”", "'": "'", "‘": "’", "«": "»"}


def unwrapped(answer: str) -> str:
    """The answer without thoughts before it and a code fence around it. Raises LLMProviderError when nothing is left,
    when it is far too long, or when it is a refusal."""
    if len(answer) > MAX_ANSWER_CHARS:
        raise LLMProviderError(f"the answer is longer than {MAX_ANSWER_CHARS} characters", reason="malformed")
    # Some servers leave a reasoning model's thoughts in the text, some without their opening tag.
    text = answer.rpartition("</think>")[2].strip()
    if text.startswith("<think>"):
        text = ""
    fenced = _FENCE.fullmatch(text)
    text = fenced[1].strip() if fenced else text
    if not text:
        raise LLMProviderError("the answer is empty", reason="empty")
    if _REFUSAL.match(text):
        raise LLMProviderError("the model refused to answer", reason="refused")
    return text


def as_prompt(text: str) -> str:
    """The text on one line, without quotation marks around it; empty when it holds nothing to see."""
    text = " ".join(_CONTROLS.sub(" ", text).split())
    closing = _QUOTES.get(text[:1])
    inner = text[1:-1]
    if closing and len(text) > 1 and text[-1] == closing and text[0] not in inner and closing not in inner:
        return inner.strip()
    return text


def prompt_of(answer: str, max_chars: int) -> str:
    """The one prompt that an answer is. Raises LLMProviderError, also when it has more than ``max_chars``."""
    prompt = as_prompt(unwrapped(answer))
    if not prompt:
        raise LLMProviderError("the answer is empty", reason="empty")
    return checked_length(prompt, max_chars)


def checked_length(prompt: str, max_chars: int) -> str:
    """The prompt itself. Raises LLMProviderError when it has more than ``max_chars``."""
    if len(prompt) > max_chars:
        raise LLMProviderError(
            f"expected a prompt of at most {max_chars} characters, got {len(prompt)}", reason="malformed"
        )
    return prompt
