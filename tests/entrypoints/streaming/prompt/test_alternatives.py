"""Several prompts from what a model wrote."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastvideo.entrypoints.streaming.prompt.alternatives import alternatives_of, json_wanted
from fastvideo.entrypoints.streaming.prompt.providers.base import LLMProviderError


def read(answer: str, count: int = 3) -> list[str]:
    return alternatives_of(answer, count=count, max_chars=200)


# A prompt as people write them: it begins with a letter, and is neither a heading nor a refusal.
WORDS = st.text("abcdefg hijk,.;'äß東 {}[]\"0123456789-", max_size=40)
PROMPTS = st.lists(WORDS.map(lambda words: f"The {words} end"), min_size=1, max_size=8)


def expected(prompts: list[str], count: int) -> list[str]:
    return list(dict.fromkeys(" ".join(prompt.split()) for prompt in prompts))[:count]


@given(PROMPTS, st.integers(1, 5), st.booleans(), st.sampled_from(["prompts", "alternatives", None]))
def test_json_is_read_in_the_forms_that_models_give_it(prompts, count, pretty, key):
    value = prompts if key is None else {key: prompts}
    text = json.dumps(value, indent=2 if pretty else None, ensure_ascii=pretty)
    for answer in (text, f"```json\n{text}\n```", f"Here you are:\n\n{text}\n\nEnjoy!", f"<think>Hm</think>{text}"):
        assert read(answer, count) == expected(prompts, count)


@given(
    PROMPTS, st.integers(1, 5), st.sampled_from(["{n}. ", "{n}) ", "({n}) ", "[{n}] ", "- ", "* ", "• ", "  {n}.", ""])
)
def test_lines_are_read_without_their_numbers_and_bullets(prompts, count, marker):
    lines = [marker.format(n=number) + prompt for number, prompt in enumerate(prompts, 1)]
    for separator in ("\n", "\n\n", "\r\n"):
        assert read(separator.join(lines), count) == expected(prompts, count)


@given(PROMPTS, st.integers(1, 12))
def test_half_of_a_json_answer_is_no_answer(prompts, cut):
    text = json.dumps({"prompts": prompts})[:-cut]
    with pytest.raises(LLMProviderError):
        read(text)


@given(st.text() | st.text('{}[]",:ab1 \n.-`'), st.integers(-1, 4))
@example("[" * 60_000, 3)
@example('{"prompts": ["\\ud800"]}', 3)
@example('{"prompts": ["' + "9" * 5000 + '"], "n": ' + "9" * 5000 + "}", 3)
@example("\ud800 alone", 3)
def test_any_text_gives_different_prompts_on_one_line_each_or_a_failure(text, count):
    try:
        prompts = read(text, count)
    except LLMProviderError:
        return
    assert 1 <= len(prompts) <= max(1, count)
    assert len(set(prompts)) == len(prompts)
    for prompt in prompts:
        assert prompt.strip() == prompt != ""
        assert len(prompt.splitlines()) == 1


@pytest.mark.parametrize(
    ("answer", "prompts"),
    [
        ("Here are three:\n1. one\n2. two", ["one", "two"]),
        ("Night:\nDay:", ["Night:", "Day:"]),
        ("2.5 metres of snow\n10:30 at night", ["2.5 metres of snow", "10:30 at night"]),
        ('[{"prompt": "one", "title": "x"}, {"text": "two"}]', ["one", "two"]),
        ('{"notes": ["ignored"], "prompts": ["one"]}', ["one"]),
        ('{"1": "one", "2": "two"}', ["one", "two"]),
        ('{"prompt": "one"}', ["one"]),
        ('1. "one"\n2. “two”', ["one", "two"]),
        ("one\none\ntwo", ["one", "two"]),
        ("[Wide shot] one", ["[Wide shot] one"]),
    ],
)
def test_forms_that_models_use(answer: str, prompts: list[str]) -> None:
    assert read(answer) == prompts


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "empty"),
        ("I'm sorry, I can't help with that.", "refused"),
        ('{"prompts": []}', "malformed"),
        ('{"prompts": [1, null, ["x"]]}', "malformed"),
        ('{"error": "no"}', "malformed"),
        ('{"prompts": "no list"', "malformed"),
        ("1.\n2.", "malformed"),
        ("x" * 201, "malformed"),
    ],
)
def test_what_holds_no_prompts_is_a_failure(answer: str, reason: str) -> None:
    with pytest.raises(LLMProviderError) as caught:
        read(answer)
    assert caught.value.reason == reason


def test_a_model_is_told_how_many_and_in_which_form() -> None:
    assert json_wanted(1).startswith("Answer with exactly 1 prompt, as strict JSON")
    assert json_wanted(4).startswith("Answer with exactly 4 prompts, as strict JSON")
