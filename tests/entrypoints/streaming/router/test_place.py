"""A router counts what a client has as the client itself does."""

import json

import pytest
from websockets.frames import Frame, Opcode

from fastvideo.entrypoints.streaming.router.frames import FrameFollower
from fastvideo.entrypoints.streaming.router.place import MAX_PROMPTS, OpenPrompts, StreamPlace
from fastvideo.entrypoints.streaming.router.wire_notes import ResumeOpening
from fastvideo.media.boxes import box
from fastvideo.media.movie_fragment import Sample, TrackRun, write_fragment


def message(data):
    opcode, raw = (Opcode.TEXT, data.encode()) if isinstance(data, str) else (Opcode.BINARY, data)
    follower = FrameFollower(max_message_bytes=1 << 20)
    follower.feed(Frame(opcode, raw).serialize(mask=False))
    return follower.next_event()


def fragment(sequence):
    return write_fragment(sequence, [TrackRun(1, 0, [Sample([b"picture"], 1)])])


def at(place):
    opening = json.loads(place.resumption())
    assert opening["type"] == "session_resume"
    return opening["last_sequence"], opening["frames_after"]


def test_fragments_are_counted_by_their_numbers_and_all_else_after_them():
    place = StreamPlace()
    place.token = "t"
    seen = []
    for data in ("queue_status", "media_init", box(b"ftyp"), fragment(1) + fragment(2), "step", fragment(3), "end"):
        place.passed(message(data))
        seen.append(at(place))
    assert seen == [(0, 1), (0, 2), (0, 3), (2, 0), (2, 1), (3, 0), (3, 1)]


def test_a_client_that_came_back_is_counted_from_where_it_was_without_the_answer_to_it():
    place = StreamPlace(ResumeOpening("t", 41, 2))
    place.token = "t"
    place.passed(message("queue_status"))
    assert at(place) == (41, 2)
    place.passed(message("step"))
    assert at(place) == (41, 3)


def test_a_session_without_a_token_cannot_be_gone_on_with():
    assert StreamPlace().resumption() is None


def prompt(request_id, kind="segment_prompt_source"):
    return json.dumps({"type": kind, "prompt": "p", "request_id": request_id})


def test_prompts_are_open_until_they_are_used_or_refused():
    prompts = OpenPrompts()
    for name in "abc":
        prompts.said(prompt(name))
    prompts.settled("b")
    prompts.settled("unknown")
    assert prompts.frames() == [prompt("a"), prompt("c")]


@pytest.mark.parametrize(
    "frame",
    [b"\x00", '{"type": "segment_prompt_source", "prompt": "x"}', prompt("a", "ping"), '"request_id"', "\ud800"],
)
def test_what_is_no_prompt_with_an_id_is_not_kept(frame):
    prompts = OpenPrompts()
    prompts.said(frame)
    assert prompts.frames() == []


def test_as_many_prompts_are_kept_as_a_server_knows_again():
    prompts = OpenPrompts()
    for index in range(MAX_PROMPTS + 3):
        prompts.said(prompt(str(index)))
    assert prompts.frames()[0] == prompt("3")
    assert len(prompts.frames()) == MAX_PROMPTS
