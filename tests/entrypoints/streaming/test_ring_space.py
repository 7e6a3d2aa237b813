from collections import deque

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fastvideo.entrypoints.streaming.ring_space import ALIGN_BYTES, RingSpace

PAGES = 16


class BothEnds(RuleBasedStateMachine):
    """A writer and a reader with a ring each, and what is under way between them; ``pages`` is the truth."""

    def __init__(self) -> None:
        super().__init__()
        self.writer = RingSpace(PAGES * ALIGN_BYTES)
        self.reader = RingSpace(PAGES * ALIGN_BYTES)
        self.pages = [False] * PAGES
        self.told: deque[tuple[int, int]] = deque()
        self.held: list[tuple[int, int]] = []
        self.freed: deque[tuple[int, int]] = deque()

    @rule(size_bytes=st.integers(1, (PAGES + 1) * ALIGN_BYTES))
    def the_writer_places(self, size_bytes: int) -> None:
        count = -(-size_bytes // ALIGN_BYTES)
        fitting = [n for n in range(PAGES - count + 1) if not any(self.pages[n : n + count])]
        offset = self.writer.place(size_bytes)
        if offset is None:
            assert not fitting
            return
        assert offset == fitting[0] * ALIGN_BYTES
        self._mark(offset, size_bytes, True)
        self.told.append((offset, size_bytes))

    @precondition(lambda self: self.told)
    @rule()
    def the_reader_hears_of_the_oldest(self) -> None:
        region = self.told.popleft()
        # What the writer places is free for the reader, too, which frees first.
        self.reader.claim(*region)
        self.held.append(region)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def the_reader_releases_any(self, data: st.DataObject) -> None:
        region = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        self.reader.free(region[0])
        self.freed.append(region)

    @precondition(lambda self: self.freed)
    @rule()
    def the_writer_hears_of_the_oldest_release(self) -> None:
        offset, size_bytes = self.freed.popleft()
        self.writer.free(offset)
        self._mark(offset, size_bytes, False)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), size_bytes=st.integers(1, PAGES * ALIGN_BYTES))
    def nobody_claims_what_is_held(self, data: st.DataObject, size_bytes: int) -> None:
        offset, held_bytes = data.draw(st.sampled_from(self.held))
        inside = data.draw(st.integers(0, (held_bytes - 1) // ALIGN_BYTES)) * ALIGN_BYTES
        with pytest.raises(ValueError, match="ring"):
            self.reader.claim(offset + inside, size_bytes)

    @precondition(lambda self: not (self.told or self.held or self.freed))
    @rule()
    def an_empty_ring_takes_as_much_as_it_has(self) -> None:
        offset = self.writer.place(PAGES * ALIGN_BYTES)
        assert offset == 0
        assert self.writer.place(1) is None
        self.writer.free(0)

    @invariant()
    def each_end_counts_what_is_its_own(self) -> None:
        assert len(self.writer) == len(self.told) + len(self.held) + len(self.freed)
        assert len(self.reader) == len(self.held)

    def _mark(self, offset: int, size_bytes: int, used: bool) -> None:
        first, count = offset // ALIGN_BYTES, -(-size_bytes // ALIGN_BYTES)
        assert set(self.pages[first : first + count]) == {not used}
        self.pages[first : first + count] = [used] * count


TestBothEnds = BothEnds.TestCase


def test_a_region_lies_where_the_first_gap_is_that_is_large_enough() -> None:
    space = RingSpace(4 * ALIGN_BYTES)
    assert [space.place(ALIGN_BYTES) for _ in range(4)] == [0, ALIGN_BYTES, 2 * ALIGN_BYTES, 3 * ALIGN_BYTES]
    for number in (0, 2, 3):
        space.free(number * ALIGN_BYTES)
    assert space.place(ALIGN_BYTES + 1) == 2 * ALIGN_BYTES
    assert space.place(1) == 0
    assert space.place(1) is None


@given(st.integers(), st.integers())
@example(0, 0)
@example(1, 1)
@example(-ALIGN_BYTES, ALIGN_BYTES)
@example(3 * ALIGN_BYTES, ALIGN_BYTES + 1)
@example(2**70, 1)
def test_a_region_that_cannot_be_is_refused(offset: int, size_bytes: int) -> None:
    space = RingSpace(4 * ALIGN_BYTES)
    possible = offset % ALIGN_BYTES == 0 and offset >= 0 and 0 < size_bytes <= space.size_bytes - offset
    if possible:
        space.claim(offset, size_bytes)
        assert len(space) == 1
    else:
        with pytest.raises(ValueError, match=str(offset)):
            space.claim(offset, size_bytes)


@given(st.lists(st.integers(-1, PAGES * ALIGN_BYTES), max_size=4))
def test_only_where_a_region_begins_is_one_freed(offsets: list[int]) -> None:
    space = RingSpace(PAGES * ALIGN_BYTES)
    placed = {space.place(2 * ALIGN_BYTES) for _ in range(3)}
    for offset in offsets:
        if offset in placed:
            space.free(offset)
            placed.remove(offset)
        else:
            with pytest.raises(ValueError, match=str(offset)):
                space.free(offset)
    assert len(space) == len(placed)


def test_a_size_that_is_no_multiple_is_cut() -> None:
    space = RingSpace(2 * ALIGN_BYTES + 5)
    offsets = [space.place(1), space.place(1), space.place(1)]
    assert offsets == [0, ALIGN_BYTES, None]
