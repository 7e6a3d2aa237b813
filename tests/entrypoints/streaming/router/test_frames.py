"""Frames are followed however their bytes are cut; what no server may send is an error."""

import contextlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from fastvideo.entrypoints.streaming.router.frames import (
    BACKLOG_BYTES,
    BINARY,
    CLOSE,
    KEPT_BYTES,
    PING,
    PONG,
    TEXT,
    Control,
    FrameError,
    FrameFollower,
)

LIMIT = 1 << 20


def wire(opcode, data, fin=True):
    return Frame(Opcode(opcode), data, fin).serialize(mask=False)


@st.composite
def streams(draw):
    """Bytes of a server, and what a reader should find: messages in one or many frames, controls between."""
    sent, expected = b"", []
    for _ in range(draw(st.integers(0, 6))):
        if draw(st.booleans()):
            opcode, data = draw(st.sampled_from([PING, PONG])), draw(st.binary(max_size=125))
            sent += wire(opcode, data)
            expected.append((opcode, data))
            continue
        opcode = draw(st.sampled_from([TEXT, BINARY]))
        pieces = draw(st.lists(st.binary(max_size=300), min_size=1, max_size=4))
        if draw(st.integers(0, 5)) == 0:
            pieces.append(bytes(70_000))
        for index, piece in enumerate(pieces):
            sent += wire(0 if index else opcode, piece, index == len(pieces) - 1)
            if index < len(pieces) - 1 and draw(st.integers(0, 3)) == 0:
                sent += wire(PING, b"between")
                expected.append((PING, b"between"))
        expected.append((opcode, b"".join(pieces)))
    return sent, expected


def followed(sent, cuts, buffer_bytes=256):
    follower = FrameFollower(max_message_bytes=LIMIT, buffer_bytes=buffer_bytes)
    found, whole = [], b""
    start = 0
    for cut in [*cuts, len(sent)]:
        piece = sent[start : max(cut, start)]
        start = max(cut, start)
        while piece:
            space = follower.space()
            assert len(space) > 0
            count = min(len(space), len(piece))
            space[:count] = piece[:count]
            follower.received(count)
            piece = piece[count:]
            while (event := follower.next_event()) is not None:
                if isinstance(event, Control):
                    found.append((event.opcode, event.payload))
                else:
                    assert event.size == len(event.payload())
                    assert event.head(7) == event.payload()[:7]
                    whole += b"".join(event.wire)
                    found.append((event.opcode, event.payload()))
            follower.release()
    return found, whole, follower


@settings(max_examples=60)
@given(streams(), st.lists(st.integers(0, 4000), max_size=30).map(sorted))
@example(
    (wire(TEXT, b"a", False) + wire(PING, b"p") + wire(0, b"b"), [(PING, b"p"), (TEXT, b"ab")]), [1, 2, 3, 4, 5, 6]
)
def test_messages_and_controls_come_out_whole_and_in_order_however_the_bytes_are_cut(stream, cuts):
    sent, expected = stream
    found, whole, follower = followed(sent, cuts)
    assert found == expected
    assert not follower.in_message
    # What is passed on is what came, without the control frames.
    again, _, _ = followed(whole, [])
    assert again == [item for item in expected if item[0] in (TEXT, BINARY)]


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=5).map(sorted))
def test_any_bytes_are_frames_or_a_frame_error(data, cuts):
    with contextlib.suppress(FrameError):
        followed(data, cuts)


@pytest.mark.parametrize(
    "sent",
    [
        Frame(Opcode.TEXT, b"x").serialize(mask=True),
        b"\xc1\x00",
        b"\x83\x00",
        b"\x8b\x00",
        b"\x09\x00",
        b"\x89\x7e\x00\x80",
        wire(0, b"a"),
        wire(TEXT, b"a", False) + wire(TEXT, b"b"),
    ],
    ids=["masked", "reserved bit", "opcode 3", "opcode 11", "cut ping", "long ping", "no beginning", "no end"],
)
def test_what_no_server_may_send_is_refused(sent):
    with pytest.raises(FrameError) as caught:
        followed(sent, [])
    assert caught.value.code == 1002


@pytest.mark.parametrize(
    "sent",
    [
        wire(BINARY, bytes(LIMIT + 1))[:20],
        wire(BINARY, bytes(LIMIT), False) + wire(0, b"x"),
        b"\x82\x7f" + b"\xff" * 8,
    ],
    ids=["one frame", "two frames", "absurd"],
)
def test_a_message_beyond_the_limit_is_refused_before_it_is_held(sent):
    with pytest.raises(FrameError) as caught:
        followed(sent, [])
    assert caught.value.code == 1009


def test_a_buffer_that_grew_for_a_large_message_is_given_back_after_it():
    follower = FrameFollower(max_message_bytes=64 << 20, buffer_bytes=1024)
    follower.feed(wire(BINARY, bytes(KEPT_BYTES + 1)))
    message = follower.next_event()
    assert message.size == KEPT_BYTES + 1
    del message
    follower.release()
    assert len(follower.space()) == 1024


def test_whoever_has_fallen_behind_receives_more_at_once_and_less_again_when_it_has_caught_up():
    follower = FrameFollower(max_message_bytes=LIMIT, buffer_bytes=1024)
    waiting = wire(BINARY, bytes(300)) * 20_000
    pieces = []
    while waiting:
        space = follower.space()
        count = min(len(space), len(waiting))
        space[:count] = waiting[:count]
        waiting = waiting[count:]
        follower.received(count)
        pieces.append(count)
        while follower.next_event() is not None:
            pass
        follower.release()
    assert max(pieces) > BACKLOG_BYTES - 304
    assert len(follower.space()) == 1024


def test_part_of_a_message_stays_where_it_is_while_the_rest_has_room_behind_it():
    follower = FrameFollower(max_message_bytes=LIMIT, buffer_bytes=1024)
    follower.feed(wire(BINARY, bytes(300)) + wire(BINARY, b"x" * 300)[:100])
    assert follower.next_event().size == 300
    follower.release()
    assert len(follower.space()) == 1024 - 304 - 100
    follower.feed(wire(BINARY, b"x" * 300)[100:] + wire(BINARY, b"y" * 900)[:300])
    assert follower.next_event().payload() == b"x" * 300
    assert follower.next_event() is None
    follower.release()
    # The third does not fit behind the others.
    assert len(follower.space()) == 1024 - 300
    follower.feed(wire(BINARY, b"y" * 900)[300:])
    assert follower.next_event().payload() == b"y" * 900


def test_a_close_frame_is_a_control_like_the_others():
    found, _, _ = followed(wire(CLOSE, b"\x03\xe8bye"), [])
    assert found == [(CLOSE, b"\x03\xe8bye")]
