"""One prompt from what a model wrote."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastvideo.entrypoints.streaming.prompt.answers import MAX_ANSWER_CHARS, as_prompt, prompt_of
from fastvideo.entrypoints.streaming.prompt.providers.base import LLMProviderError


@pytest.mark.parametrize(
    ("answer", "prompt"),
    [
        ("  A red ball.\n", "A red ball."),
        ("A red ball\n\nrolls away.", "A red ball rolls away."),
        ('"A red ball."', "A red ball."),
        ("“A red ball.”", "A red ball."),
        ('"Hello," she says, and he says "bye"', '"Hello," she says, and he says "bye"'),
        ("```\nA red ball.\n```", "A red ball."),
        ("```text\nA red ball.\n```", "A red ball."),
        ("<think>Hm, a ball.</think>\nA red ball.", "A red ball."),
        ("Hm, a ball.</think>A red ball.", "A red ball."),
        ("A red\x00 ball\x1b.", "A red ball ."),
        ("I cannot believe it, says the cat.", "I cannot believe it, says the cat."),
        ('"', '"'),
    ],
)
def test_a_prompt_comes_out_as_one_line_without_wrapping(answer: str, prompt: str) -> None:
    assert prompt_of(answer, 100) == prompt


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "empty"),
        (" \n ", "empty"),
        ('""', "empty"),
        ("```\n\n```", "empty"),
        ("\x00", "empty"),
        ("<think>still thinking when the tokens ran out", "empty"),
        ("I'm sorry, but I can't help with that.", "refused"),
        ("I’m really sorry, no.", "refused"),
        ("Sorry, no.", "refused"),
        ("I can’t assist with this request.", "refused"),
        ("As an AI language model, I do not watch films.", "refused"),
        ("<think>No.</think>I cannot create that.", "refused"),
        ("a" * 101, "malformed"),
        (" " * (MAX_ANSWER_CHARS + 1), "malformed"),
    ],
)
def test_an_answer_that_is_no_prompt_is_a_failure_that_others_may_do_better(answer: str, reason: str) -> None:
    with pytest.raises(LLMProviderError) as caught:
        prompt_of(answer, 100)
    assert caught.value.reason == reason
    assert caught.value.retryable


@given(st.text())
@example("“”")
def test_whatever_comes_out_is_one_line_and_stays_the_same_a_second_time(text: str) -> None:
    line = as_prompt(text)
    assert len(line.splitlines()) <= 1
    assert line == line.strip()
    assert as_prompt(line) == line or line[:1] in "\"“'‘«"


@given(st.text())
def test_any_text_is_a_prompt_or_a_failure(text: str) -> None:
    try:
        prompt = prompt_of(text, 50)
    except LLMProviderError:
        return
    assert prompt
    assert len(prompt) <= 50
