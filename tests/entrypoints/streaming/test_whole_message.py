import socket
import threading

import pytest

from fastvideo.entrypoints.streaming.segment_events import SegmentFragment
from fastvideo.entrypoints.streaming.whole_message import receive_whole
from fastvideo.entrypoints.streaming.worker_buffers import WireError
from fastvideo.entrypoints.streaming.worker_messages import Cancel, Heartbeat, JobEvent
from fastvideo.entrypoints.streaming.worker_wire import PREFIX_BYTES, MessageReader, encode


def on_the_wire(message) -> bytes:
    return b"".join(encode(message))


def test_messages_come_off_the_socket_one_by_one_as_they_were_written() -> None:
    # More than a socket holds.
    messages = [Cancel(7), JobEvent(1, SegmentFragment(bytes(3 << 20), 1, 0.0, 40.0)), Heartbeat()]
    ours, theirs = socket.socketpair()
    written = b"".join(map(on_the_wire, messages))
    writer = threading.Thread(target=lambda: (theirs.sendall(written), theirs.close()))
    writer.start()
    with ours:
        received = [receive_whole(ours) for _ in messages]
        assert receive_whole(ours) is None
    writer.join()
    assert received == list(map(on_the_wire, messages))
    assert [read for whole in received for read in MessageReader().feed(whole)] == messages


@pytest.mark.parametrize("kept_bytes", [0, 3, PREFIX_BYTES, PREFIX_BYTES + 1])
def test_a_connection_that_ends_within_a_message_gives_nothing_of_it(kept_bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(on_the_wire(Cancel(7))[:kept_bytes])
        theirs.close()
        assert receive_whole(ours) is None


def test_bytes_that_begin_no_message_are_refused() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(WireError, match="FVW1"):
            receive_whole(ours)
