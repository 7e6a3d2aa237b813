"""What a client is told about its bad message."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fastvideo.entrypoints.streaming.message_faults import explain_invalid, invalid_reason
from fastvideo.entrypoints.streaming.protocol import parse_client_message, parse_client_text


def _fault(raw: Any) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        parse_client_message(raw)
    return caught.value


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ({}, 'Expected a JSON object with a "type"; it has none.'),
        ([], 'Expected a JSON object with a "type", not another JSON value.'),
        ({"type": "segment_prompt_source"}, "segment_prompt_source.prompt: required, but missing."),
        (
            {"type": "segment_prompt_source", "prompt": 3},
            "segment_prompt_source.prompt: expected a valid string.",
        ),
        ({"type": "ping", "id": []}, "ping.id: expected a valid string or a valid integer."),
        (
            {"type": "session_init_v2", "curated_prompts": ["a", 3]},
            "session_init_v2.curated_prompts.1: expected a valid string.",
        ),
        (
            {"type": "session_init_v2", "blob": "x" * 70_000},
            "session_init_v2: keys this server does not know may take at most 65536 bytes of JSON.",
        ),
    ],
)
def test_the_sentence_says_where_and_what_was_expected(raw: Any, sentence: str) -> None:
    assert explain_invalid(_fault(raw)) == sentence


def test_an_unknown_type_is_named_with_those_that_exist() -> None:
    sentence = explain_invalid(_fault({"type": "segment_prompt"}))
    assert sentence.startswith("Unknown message type segment_prompt; expected one of 'session_init_v2', ")


def test_bad_json_is_told_apart_from_a_bad_message() -> None:
    with pytest.raises(ValidationError) as caught:
        parse_client_text("{oops")
    assert explain_invalid(caught.value).startswith("The message is not valid JSON")


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"continuation_state": {"kind": "ltx2.v1"}}, "state_invalid"),
        ({"continuation_state": 3}, "state_invalid"),
        ({"initial_image": "cat.png"}, "image_invalid"),
        ({"curated_prompts": 3}, None),
    ],
)
def test_a_bad_state_and_a_bad_image_have_their_own_reason(extra: dict[str, Any], reason: str | None) -> None:
    assert invalid_reason(_fault({"type": "session_init_v2", **extra})) == reason


def test_long_or_unprintable_input_is_never_quoted_whole() -> None:
    huge = "\x00\x1b<script>" + "y" * 1_000_000
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    for raw in (
        {"type": huge},
        {"type": "session_init_v2", huge: object()},
        {"type": "session_init_v2", "continuation_state": {"kind": "k", "payload": {huge: object()}}},
        {"type": "session_init_v2", "deep": deep},
    ):
        sentence = explain_invalid(_fault(raw))
        assert len(sentence) < 600
        assert sentence.replace("…", "").isascii()
        assert sentence.isprintable()
        assert "y" * 50 not in sentence


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["type", "prompt", "id", "curated_prompts", "continuation_state"]) | st.text(max_size=60),
        st.sampled_from(["ping", "session_init_v2", "segment_prompt_source"]) | st.text() | st.integers() | st.none(),
    )
)
def test_every_fault_has_a_short_printable_sentence(raw: dict[str, Any]) -> None:
    try:
        parse_client_message(raw)
    except ValidationError as error:
        sentence = explain_invalid(error)
        assert len(sentence) < 600
        assert sentence.isprintable()
