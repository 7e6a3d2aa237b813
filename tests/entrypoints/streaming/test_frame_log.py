"""What is sent again to a client that comes back: all that it does not have, once, or nothing at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.entrypoints.streaming.frame_log import Frame, FrameLog, NotKept


def taken(log: FrameLog) -> list[Frame]:
    frames = []
    while (frame := log.take()) is not None:
        frames.append(frame)
    return frames


def test_a_client_goes_on_after_its_last_fragment_and_what_came_after_that() -> None:
    log = FrameLog(keep_bytes=1000)
    for frame, sequence in (("hello", None), (b"one", 1), ("text", None), (b"two", 2), ("bye", None)):
        log.append(frame, sequence)
    assert taken(log) == ["hello", b"one", "text", b"two", "bye"]
    log.rewind(1, 0)
    assert taken(log) == ["text", b"two", "bye"]
    log.rewind(1, 1)
    assert taken(log) == [b"two", "bye"]
    log.rewind(2, 1)
    assert taken(log) == []
    log.append(b"three", 3)
    assert taken(log) == [b"three"]


def test_a_client_without_any_fragment_counts_from_the_beginning() -> None:
    log = FrameLog(keep_bytes=1000)
    log.append("a")
    log.append("b")
    assert log.take() == "a"
    log.rewind(0, 0)
    assert taken(log) == ["a", "b"]
    log.rewind(0, 1)
    assert taken(log) == ["b"]


@pytest.mark.parametrize("place", [(1, 5), (7, 0), (3, 0), (0, 0), (0, 3), (2, 2)])
def test_a_place_that_is_not_kept_or_was_never_reached_is_refused_and_changes_nothing(place: tuple[int, int]) -> None:
    log = FrameLog(keep_bytes=6)
    for frame, sequence in ((b"one", 1), (b"two", 2), ("end", None)):
        log.append(frame, sequence)
    # The first is forgotten: whoever has it has all that is not kept.
    assert taken(log) == [b"one", b"two", "end"]
    log.append(b"three", 3)
    with pytest.raises(NotKept):
        log.check(*place)
    with pytest.raises(NotKept):
        log.rewind(*place)
    log.rewind(1, 0)
    assert taken(log) == [b"two", "end", b"three"]


FRAMES = st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=40)


@given(FRAMES, st.integers(0, 400), st.data())
def test_wherever_the_connection_breaks_the_client_gets_the_uncut_stream(
    frames: list[tuple[bool, int]], keep_bytes: int, data: st.DataObject
) -> None:
    log = FrameLog(keep_bytes)
    stream: list[Frame] = []
    sequence = 0
    for is_fragment, size in frames:
        sequence += is_fragment
        stream.append(bytes([sequence % 256]) * size if is_fragment else chr(97 + len(stream) % 26) * size)
        log.append(stream[-1], sequence if is_fragment else None)
    received: list[Frame] = []
    last = after = 0
    while len(received) < len(stream):
        sent = data.draw(st.integers(0, len(stream) - len(received)), label="sent")
        arrived = data.draw(st.integers(0, sent), label="arrived")
        out = [log.take() for _ in range(sent)]
        for frame in out[:arrived]:
            assert frame is not None
            received.append(frame)
            last, after = (last + 1, 0) if isinstance(frame, bytes) else (last, after + 1)
        missing = sum(len(frame) for frame in out[arrived:] if frame is not None)
        kept = arrived == sent or missing <= keep_bytes or arrived == sent - 1
        if not kept:
            with pytest.raises(NotKept):
                log.rewind(last, after)
            return
        log.rewind(last, after)
        if sent == 0:
            received += taken(log)
    assert received == stream


@given(FRAMES, st.integers(0, 100))
def test_what_is_kept_is_bounded(frames: list[tuple[bool, int]], keep_bytes: int) -> None:
    log = FrameLog(keep_bytes)
    for number, (_, size) in enumerate(frames):
        log.append(b"x" * size, number + 1)
        log.take()
        assert log.held_bytes <= max(keep_bytes, size)
    assert log.waiting_bytes == 0
