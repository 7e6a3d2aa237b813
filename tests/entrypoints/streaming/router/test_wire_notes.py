"""What a router reads of the messages that pass."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from fastvideo.entrypoints.streaming.router.frames import FrameFollower
from fastvideo.entrypoints.streaming.router.wire_notes import (
    ResumeOpening,
    last_sequence,
    read_resume,
    read_server_note,
)
from fastvideo.media.boxes import box
from fastvideo.media.movie_fragment import Sample, TrackRun, write_fragment


def message(data, opcode=Opcode.TEXT):
    follower = FrameFollower(max_message_bytes=1 << 20)
    follower.feed(Frame(opcode, data).serialize(mask=False))
    return follower.next_event()


def fragment(sequence):
    return write_fragment(sequence, [TrackRun(1, 0, [Sample([b"picture"], 1)])])


@pytest.mark.parametrize(
    ("fields", "refuses"),
    [
        ({"type": "error", "code": "session_rejected", "message": "max sessions reached (1)"}, True),
        ({"type": "error", "code": "session_rejected", "reason": "draining"}, True),
        ({"type": "error", "code": "gpu_unavailable", "retryable": True}, True),
        ({"type": "error", "code": "session_rejected", "reason": "resume_unknown"}, True),
        ({"type": "error", "code": "session_rejected", "reason": "unauthorized"}, False),
        ({"type": "error", "code": "invalid_message"}, False),
        ({"type": "queue_status", "position": 0, "queue_depth": 0}, False),
    ],
)
def test_some_errors_send_a_session_elsewhere(fields, refuses):
    assert read_server_note(message(json.dumps(fields).encode())).refuses is refuses


@given(st.binary(max_size=300))
def test_any_text_is_a_note_or_nothing(data):
    read_server_note(message(data))
    read_resume(data.decode("utf-8", "replace"))


def test_the_token_of_a_client_that_goes_on_is_read():
    text = json.dumps({"type": "session_resume", "resume_token": "abc", "last_sequence": 7})
    assert read_resume(text) == ResumeOpening("abc", 7)
    assert read_resume(text.encode()) is None
    assert read_resume(json.dumps({"type": "session_init_v2", "resume_token": "abc"})) is None
    assert read_resume(text + " " * 5000) is None


def test_the_number_of_the_last_fragment_in_a_message_is_read():
    assert last_sequence(fragment(5)) == 5
    assert last_sequence(fragment(5) + fragment(6)) == 6
    assert last_sequence(box(b"ftyp", b"isom") + box(b"moov")) is None


@given(st.lists(st.one_of(st.integers(1, 2**32 - 1), st.binary(max_size=30)), max_size=5))
def test_the_number_is_that_of_the_last_fragment_whatever_lies_between(items):
    boxes = [fragment(item) if isinstance(item, int) else box(b"free", item) for item in items]
    numbers = [item for item in items if isinstance(item, int)]
    assert last_sequence(b"".join(boxes)) == (numbers[-1] if numbers else None)
    if boxes and numbers:
        assert last_sequence(b"".join(boxes)[:-1]) is None


@given(st.binary(max_size=200))
def test_what_is_no_fragment_has_no_number(data):
    last_sequence(data)
    last_sequence(box(b"moof", data))
