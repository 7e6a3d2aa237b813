"""What was asked of a stream and has not come yet."""

from __future__ import annotations

import pytest

from fastvideo.client.asked import Asked
from fastvideo.client.stream_protocol import Event
from fastvideo.entrypoints.streaming.protocol import (
    ErrorMessage,
    Ltx2SegmentComplete,
    Ltx2SegmentStart,
    PromptStatus,
    SegmentCancelled,
)

APPLIED = PromptStatus(request_id="a", status="applied")
START = Ltx2SegmentStart(segment_idx=0, prompt="p", total_steps=1)


def test_a_prompt_is_asked_for_until_its_segment_is_whole() -> None:
    asked = Asked()
    assert asked.nothing_left
    asked.prompt("a")
    for event in (PromptStatus(request_id="a", status="pending"), APPLIED, START):
        asked.receive(event)
        assert not asked.nothing_left
    asked.receive(Ltx2SegmentComplete(segment_idx=0, generation_time_ms=1.0))
    assert asked.nothing_left


def test_a_segment_that_ends_leaves_the_prompts_behind_it() -> None:
    asked = Asked()
    asked.prompt("a")
    asked.prompt("b")
    for event in (APPLIED, START, Ltx2SegmentComplete(segment_idx=0, generation_time_ms=1.0)):
        asked.receive(event)
    assert not asked.nothing_left
    asked.receive(PromptStatus(request_id="b", status="rejected"))
    assert asked.nothing_left


@pytest.mark.parametrize(
    "event",
    [
        SegmentCancelled(segment_idx=0),
        ErrorMessage(code="worker_failed", message="no"),
        ErrorMessage(code="invalid_message", message="no", reason="prompt_blocked"),
    ],
)
def test_a_segment_that_will_not_come_is_waited_for_no_more(event: Event) -> None:
    asked = Asked()
    asked.prompt("a")
    for one in (APPLIED, START, event):
        asked.receive(one)
    assert asked.nothing_left


def test_an_answer_to_another_message_changes_nothing() -> None:
    asked = Asked()
    asked.prompt("a")
    for one in (APPLIED, START, ErrorMessage(code="invalid_message", message="no")):
        asked.receive(one)
    assert not asked.nothing_left
