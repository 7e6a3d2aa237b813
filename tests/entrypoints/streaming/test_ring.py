"""Both ends of a ring, without the connection between them."""

import sys
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import GenerationCancelled, GenerationFailed
from fastvideo.entrypoints.streaming.ring_memory import RingMemory
from fastvideo.entrypoints.streaming.ring_reader import MAX_RESULT_BYTES, RingReader
from fastvideo.entrypoints.streaming.ring_space import ALIGN_BYTES
from fastvideo.entrypoints.streaming.ring_writer import RingWriter
from fastvideo.entrypoints.streaming.segment_channel import ReaderTooSlow
from fastvideo.entrypoints.streaming.worker_buffers import WireError
from fastvideo.entrypoints.streaming.worker_messages import RingFrames

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has files without a name")
PAGES = 8


class Ring:
    """A writer and a reader of the same memory; what the reader frees the writer hears at once."""

    def __init__(self, pages: int = PAGES, stall_s: float = 10.0) -> None:
        memory = RingMemory.create(pages * ALIGN_BYTES)
        assert memory is not None
        self.freed: list[int] = []
        self.writer = RingWriter(memory, stall_s=stall_s)
        self.reader = RingReader(memory, self._free)

    def _free(self, offset: int) -> None:
        self.freed.append(offset)
        self.writer.freed(offset)

    def __enter__(self) -> "Ring":
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.close()
        self.writer.close()


def noise(frames: int, height: int = 32, width: int = 32) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), np.uint8)


@given(st.integers(1, 9), st.integers(1, 40), st.integers(1, 40), st.sampled_from([np.asarray, list]), st.data())
def test_frames_come_out_as_they_were_put_in_however_late_they_are_released(count, height, width, form, data) -> None:
    frames = noise(count, height, width)
    with Ring() as ring:
        assert ring.writer.fits(frames[0])
        held = []
        got = 0
        writing = ring.writer.put(7, form(frames), CancellationToken())
        while got < count:
            # Room for the next ones, in any order.
            while held and (len(held) > 2 or data.draw(st.booleans())):
                held.pop(data.draw(st.integers(0, len(held) - 1))).release()
            told = next(writing)
            view = ring.reader.view(told)
            assert (told.job_id, view.first_frame, view.total_frames) == (7, got, count)
            np.testing.assert_array_equal(view.frames, frames[got : got + len(view.frames)])
            got += len(view.frames)
            held.append(view)
        assert next(writing, None) is None
        for view in held:
            view.release()
        assert ring.reader.held_views == 0


def test_what_is_not_released_stays_as_it_is_while_the_rest_of_the_ring_goes_round() -> None:
    frames = noise(40)
    with Ring() as ring:
        writing = ring.writer.put(1, frames, CancellationToken())
        kept = ring.reader.view(next(writing))
        for told in writing:
            with ring.reader.view(told) as view:
                assert not view.frames.flags.writeable
        np.testing.assert_array_equal(kept.frames, frames[: len(kept.frames)])
        assert len(ring.freed) > PAGES
        kept.release()


def test_frames_of_other_kinds_are_turned_into_bytes_as_before() -> None:
    frames = [np.full((4, 4, 3), value, np.float32) for value in (1.0, 200.0)]
    with Ring() as ring:
        (told,) = ring.writer.put(1, frames, CancellationToken())
        np.testing.assert_array_equal(ring.reader.view(told).frames[:, 0, 0, 0], [1, 200])


def test_a_frame_larger_than_the_ring_does_not_fit() -> None:
    with Ring(pages=1) as ring:
        assert not ring.writer.fits(noise(1, 64, 64)[0])
        assert ring.writer.fits(noise(1, 32, 32)[0])


def test_frames_of_several_sizes_are_an_error_that_takes_no_room() -> None:
    with Ring(pages=1) as ring:
        for _ in range(3):
            with pytest.raises(GenerationFailed, match="one size"):
                list(ring.writer.put(1, [noise(1, 8, 8)[0], noise(1, 8, 9)[0]], CancellationToken()))
        assert len(list(ring.writer.put(1, noise(1, 8, 8), CancellationToken()))) == 1


@pytest.mark.parametrize("wakes", ["a release", "a cancellation"])
def test_a_writer_waits_for_room_until(wakes) -> None:
    cancel, outcomes = CancellationToken(), []
    first_told = threading.Event()
    with Ring(pages=1) as ring:
        told: list[RingFrames] = []

        def write() -> None:
            try:
                for one in ring.writer.put(1, noise(2), cancel):
                    told.append(one)
                    first_told.set()
                outcomes.append("done")
            except GenerationCancelled:
                outcomes.append("cancelled")

        thread = threading.Thread(target=write)
        thread.start()
        assert first_told.wait(10)
        view = ring.reader.view(told[0])
        assert outcomes == []
        if wakes == "a release":
            view.release()
        else:
            cancel.cancel()
        thread.join(10)
        assert not thread.is_alive()
        assert outcomes == ["done" if wakes == "a release" else "cancelled"]
        assert len(told) == (2 if wakes == "a release" else 1)


def test_a_writer_does_not_wait_for_ever_for_somebody_who_keeps_everything() -> None:
    with Ring(pages=1, stall_s=0.01) as ring:
        writing = ring.writer.put(1, noise(2), CancellationToken())
        next(writing)
        with pytest.raises(ReaderTooSlow, match="release"):
            next(writing)


def test_a_release_of_nothing_is_an_error() -> None:
    with Ring() as ring, pytest.raises(ValueError, match="4096"):
        ring.writer.freed(4096)


counts = st.one_of(st.integers(0, 20), st.integers(0, 2**31 - 1))


@given(counts.map(lambda n: n * ALIGN_BYTES) | counts, st.tuples(counts, counts, counts, counts), counts, counts)
def test_a_worker_cannot_have_the_pool_read_outside_the_ring(offset, shape, first, total) -> None:
    with Ring() as ring:
        try:
            view = ring.reader.view(RingFrames(1, offset, shape, first, total))
        except WireError:
            assert ring.reader.held_views == 0
        else:
            assert offset + view.frames.size <= PAGES * ALIGN_BYTES
            assert view.frames.size > 0
            assert first + shape[0] <= total
            # Once is enough.
            with pytest.raises(WireError):
                ring.reader.view(RingFrames(1, offset, shape, first, total))


def test_a_worker_cannot_have_the_pool_make_room_for_anything() -> None:
    frame = (1, 1024, 8, 3)
    most = MAX_RESULT_BYTES // (1024 * 8 * 3)
    with Ring() as ring:
        assert ring.reader.view(RingFrames(1, 0, frame, 0, most)).total_frames == most
        with pytest.raises(WireError, match="larger"):
            ring.reader.view(RingFrames(1, 0, frame, 0, most + 1))
