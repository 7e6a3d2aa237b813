"""The client's protocol object: frames in, typed events out, nonsense refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvideo.client import InitSegment, MediaFragment, ProtocolViolation, StreamProtocol, UnknownMessage
from fastvideo.entrypoints.streaming.protocol import (
    ErrorMessage,
    Ltx2StreamComplete,
    Ltx2StreamStart,
    MediaInit,
    MediaSegmentComplete,
    QueueStatus,
    ServerMessage,
    encode_server_message,
)

INIT = b"\x00\x00\x00\x08ftyp" + b"\x00\x00\x00\x08moov"
FRAGMENT = b"\x00\x00\x00\x08moof" + b"\x00\x00\x00\x08mdat"


def feed(protocol: StreamProtocol, message: ServerMessage) -> None:
    assert protocol.receive_text(encode_server_message(message)) == message


def test_it_remembers_what_is_asked_for_later() -> None:
    protocol = StreamProtocol()
    feed(protocol, QueueStatus(position=1, queue_depth=2, session_id="s1"))
    feed(protocol, QueueStatus(position=0, queue_depth=1))
    start = Ltx2StreamStart(width=64, height=32, fps=24, num_frames=9)
    error = ErrorMessage(code="worker_failed", message="no", retryable=True)
    ending = Ltx2StreamComplete(reason="segment_cap")
    for message in (start, error, ending):
        feed(protocol, message)
    assert protocol.session_id == "s1"
    assert (protocol.start, protocol.last_error, protocol.ending) == (start, error, ending)


def test_media_is_named_by_the_last_media_init() -> None:
    protocol = StreamProtocol()
    for segment in (0, 1):
        feed(protocol, MediaInit(segment_idx=segment, stream_id="t", mime="video/mp4"))
        assert protocol.receive_bytes(INIT) == InitSegment(segment, "t", "video/mp4", INIT)
        assert protocol.receive_bytes(FRAGMENT) == MediaFragment(segment, "t", FRAGMENT)
        feed(protocol, MediaSegmentComplete(segment_idx=segment, stream_id="t", chunks=1))
    # Sound that the timeline still owes comes after the last segment's end.
    assert protocol.receive_bytes(FRAGMENT) == MediaFragment(1, "t", FRAGMENT)


@pytest.mark.parametrize("data", [FRAGMENT, INIT, b"", b"moof"])
def test_media_that_nothing_announced_is_a_violation(data: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="media_init"):
        StreamProtocol().receive_bytes(data)


def test_media_must_begin_with_its_init_segment_and_go_on_with_fragments() -> None:
    protocol = StreamProtocol()
    feed(protocol, MediaInit(segment_idx=0, stream_id="t"))
    with pytest.raises(ProtocolViolation, match="ftyp"):
        protocol.receive_bytes(FRAGMENT)
    protocol.receive_bytes(INIT)
    for data in (INIT, b"", b"\x00\x00\x00\x08mdat"):
        with pytest.raises(ProtocolViolation, match="moof"):
            protocol.receive_bytes(data)


def test_a_type_from_the_future_is_passed_on_and_new_keys_are_ignored() -> None:
    protocol = StreamProtocol()
    text = '{"type": "hologram_init", "depth": 3}'
    assert protocol.receive_text(text) == UnknownMessage(text)
    known = protocol.receive_text('{"type": "ltx2_stream_complete", "reason": "error", "summary": {}}')
    assert known == Ltx2StreamComplete(reason="error")


@pytest.mark.parametrize(
    "text", ["", "nope", "[]", "{}", '{"type": "queue_status"}', '{"type": "error", "message": 1}']
)
def test_a_malformed_message_is_a_violation(text: str) -> None:
    with pytest.raises(ProtocolViolation):
        StreamProtocol().receive_text(text)


@settings(max_examples=200)
@given(
    st.lists(
        st.sampled_from(["media_init", "init", "fragment"])
        | st.binary(max_size=12)
        | st.text(max_size=12)
        | st.sampled_from([encode_server_message(Ltx2StreamComplete()), '{"type": "new"}'])
    )
)
def test_any_order_of_frames_gives_events_or_a_violation(frames: list[str | bytes]) -> None:
    protocol = StreamProtocol()
    named: dict[str | bytes, str | bytes] = {
        "media_init": encode_server_message(MediaInit(segment_idx=0, stream_id="t")),
        "init": INIT,
        "fragment": FRAGMENT,
    }
    for frame in frames:
        data = named.get(frame, frame)
        try:
            event = protocol.receive_text(data) if isinstance(data, str) else protocol.receive_bytes(data)
        except ProtocolViolation:
            return
        if isinstance(event, InitSegment):
            assert data[4:8] == b"ftyp"
        elif isinstance(event, MediaFragment):
            assert data[4:8] == b"moof"
