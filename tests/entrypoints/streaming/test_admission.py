import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fastvideo.entrypoints.streaming.admission import Admission, Place, QueueFull


def admission(slots: int = 1, max_waiting: int = 8, idle_yield_s: float = 20.0, per_lease: float = 6.0) -> Admission:
    return Admission(slots=slots, max_waiting=max_waiting, idle_yield_s=idle_yield_s, segments_per_lease=per_lease)


def enter(book: Admission, name: str, now_s: float = 0.0) -> None:
    """Enter, and come for the lease if there is one, as a session does."""
    book.enter(name, now_s)
    book.claim(name, now_s)


def test_sessions_are_admitted_in_order_of_arrival_as_places_become_free() -> None:
    book = admission(slots=2)
    assert [book.enter(name, 0.0) for name in "abcd"] == [["a"], ["b"], [], []]
    assert list(book.places()) == ["c", "d"]
    assert book.places() == {"c": Place(0, 2), "d": Place(1, 2)}
    assert book.leave("a", 1.0) == ["c"]
    assert book.places() == {"d": Place(0, 1)}
    assert book.leave("c", 1.0) == ["d"]
    assert book.leave("d", 1.0) == []
    assert book.free_slots == 1


def test_entering_twice_is_the_same_as_once() -> None:
    book = admission()
    assert book.enter("a", 0.0) == ["a"]
    assert book.enter("a", 0.0) == []
    assert book.enter("b", 0.0) == []
    assert book.enter("b", 0.0) == []
    assert (book.leases, book.waiting) == (1, 1)
    book.leave("a", 0.0)
    assert book.holds("b")


def test_one_session_more_than_may_wait_is_refused_and_leaves_nothing_behind() -> None:
    book = admission(max_waiting=1)
    book.enter("a", 0.0)
    book.enter("b", 0.0)
    with pytest.raises(QueueFull, match="1 sessions wait"):
        book.enter("c", 0.0)
    assert book.waiting == 1
    assert book.leave("c", 0.0) == []


def test_nobody_may_wait_when_the_queue_has_no_length_but_free_places_are_given() -> None:
    book = admission(max_waiting=0)
    assert book.enter("a", 0.0) == ["a"]
    with pytest.raises(QueueFull):
        book.enter("b", 0.0)


def test_a_session_that_gives_up_waiting_moves_the_others_up() -> None:
    book = admission()
    for name in "abc":
        book.enter(name, 0.0)
    assert book.leave("b", 1.0) == []
    assert book.places() == {"c": Place(0, 1)}


def test_a_waiting_session_takes_the_place_of_the_one_that_has_been_idle_longest() -> None:
    book = admission(slots=2, idle_yield_s=20.0)
    enter(book, "a", 0.0)
    enter(book, "b", 5.0)
    enter(book, "c", 10.0)
    assert book.next_yield_s() == 20.0
    assert book.promote(19.9) == []
    assert book.promote(20.0) == ["c"]
    assert not book.holds("a")
    # The idle one queues again with its next prompt.
    assert book.enter("a", 21.0) == []
    assert not book.holds("a")
    assert book.next_yield_s() == 25.0


def test_a_session_whose_segment_runs_never_yields() -> None:
    book = admission(idle_yield_s=20.0)
    book.enter("a", 0.0)
    book.started("a")
    book.enter("b", 1.0)
    assert book.next_yield_s() is None
    assert book.promote(1000.0) == []
    assert book.finished("a", 1000.0, 5.0) == []
    assert book.next_yield_s() == 1020.0
    assert book.promote(1020.0) == ["b"]


@pytest.mark.parametrize("slots", [0, 1])
def test_nobody_is_called_to_yield_while_there_are_more_leases_than_slots(slots: int) -> None:
    book = admission(slots=2, idle_yield_s=20.0)
    for name in "abc":
        enter(book, name, 0.0)
    book.set_slots(slots, 1.0)
    assert book.next_yield_s() is None
    assert book.promote(1000.0) == []
    # Workers that come back find the time long over.
    assert book.set_slots(2, 1001.0) == ["c"]


@given(st.floats(0, 1e9), st.floats(0.001, 100))
def test_the_time_to_yield_is_late_enough(since_s: float, idle_yield_s: float) -> None:
    book = admission(idle_yield_s=idle_yield_s)
    enter(book, "a", since_s)
    enter(book, "b", since_s)
    due_s = book.next_yield_s()
    assert due_s is not None
    assert book.promote(due_s) == ["b"]


def test_a_session_that_comes_back_for_its_lease_keeps_it() -> None:
    book = admission(idle_yield_s=20.0)
    enter(book, "a", 0.0)
    enter(book, "a", 100.0)
    enter(book, "b", 101.0)
    assert not book.holds("b")
    assert book.next_yield_s() == 120.0


def test_entering_tells_of_everybody_whom_it_admits() -> None:
    book = admission(idle_yield_s=20.0)
    enter(book, "a", 0.0)
    enter(book, "b", 1.0)
    # The lease of a is due to b since 20.0; c comes before anybody has looked.
    assert book.enter("c", 25.0) == ["b"]
    assert book.places() == {"c": Place(0, 1)}


def test_a_lease_that_its_session_has_not_come_for_yet_is_not_idle() -> None:
    book = admission(idle_yield_s=5.0)
    for name in "abc":
        book.enter(name, 0.0)
    assert book.leave("a", 1.0) == ["b"]
    assert book.promote(100.0) == []
    assert book.claim("b", 100.0)
    assert book.promote(104.0) == []
    assert book.promote(105.0) == ["c"]
    assert not book.claim("a", 105.0)


def test_nobody_yields_while_nobody_waits() -> None:
    book = admission(idle_yield_s=20.0)
    enter(book, "a", 0.0)
    assert book.next_yield_s() is None
    assert book.promote(1000.0) == []
    assert book.holds("a")


def test_an_idle_session_is_not_due_to_yield_while_there_are_fewer_places_than_leases() -> None:
    book = admission(slots=2, idle_yield_s=20.0)
    for name in "abc":
        enter(book, name, 0.0)
    # Its worker died: whoever would look at once whether somebody yields would look again and again.
    assert book.set_slots(1, 5.0) == []
    assert book.next_yield_s() is None
    assert book.promote(100.0) == []
    assert book.set_slots(2, 101.0) == ["c"]


def test_a_pool_that_is_not_ready_lets_everybody_wait_and_then_admits_in_order() -> None:
    book = admission(slots=0)
    assert book.enter("a", 0.0) == []
    assert book.enter("b", 0.0) == []
    assert book.promote(1000.0) == []
    assert book.set_slots(1, 1000.0) == ["a"]


def test_the_estimate_comes_from_measured_segments_and_is_absent_before() -> None:
    book = admission(per_lease=6.0)
    for name in "abc":
        book.enter(name, 0.0)
    assert book.places()["b"].eta_ms is None
    book.started("a")
    book.finished("a", 2.0, 2.0)
    # Six segments of two seconds until the one place is free again, and again.
    assert [place.eta_ms for place in book.places().values()] == [12_000, 24_000]


def test_an_estimate_follows_how_long_sessions_really_stay() -> None:
    book = admission(per_lease=6.0)
    for number in range(40):
        book.enter(f"s{number}", 0.0)
        book.started(f"s{number}")
        book.finished(f"s{number}", 0.0, 3.0)
        book.leave(f"s{number}", 0.0)
    book.enter("x", 0.0)
    book.enter("y", 0.0)
    assert book.places()["y"].eta_ms == pytest.approx(3000, abs=1000)


def test_the_end_of_a_segment_after_its_session_left_is_harmless() -> None:
    book = admission()
    book.enter("a", 0.0)
    book.started("a")
    book.leave("a", 1.0)
    assert book.finished("a", 2.0, 1.0) == []
    assert book.leases == 0


def test_a_job_has_its_lease_beside_those_of_sessions_and_keeps_none_of_them_out() -> None:
    book = admission(slots=1)
    assert book.enter_beside("job", 0.0) == ["job"]
    assert book.claim("job", 0.0)
    enter(book, "a")
    assert book.holds("a")
    assert book.enter("b", 0.0) == []
    assert (book.leases, book.waiting, book.free_slots) == (1, 1, 0)
    assert book.places() == {"b": Place(0, 1)}
    book.started("job")
    assert book.finished("job", 30.0, 1.0) == ["b"]
    assert book.leave("job", 31.0) == []
    assert book.leases == 1


def test_a_job_does_not_yield_its_lease_to_a_session_however_long_it_pauses() -> None:
    book = admission(slots=1, idle_yield_s=1.0)
    book.enter_beside("job", 0.0)
    book.claim("job", 0.0)
    enter(book, "a")
    book.started("a")
    book.enter("b", 0.0)
    assert book.next_yield_s() is None
    assert book.promote(100.0) == []
    assert book.holds("job")


def test_a_job_waits_while_there_is_no_worker() -> None:
    book = admission(slots=0)
    assert book.enter_beside("job", 0.0) == []
    assert not book.holds("job")
    assert book.places() == {}
    assert book.set_slots(1, 1.0) == ["job"]
    assert book.enter_beside("job", 1.0) == []


def test_a_job_that_gave_up_waiting_gets_no_lease() -> None:
    book = admission(slots=0)
    book.enter_beside("job", 0.0)
    book.leave("job", 0.0)
    assert book.set_slots(1, 1.0) == []


class AdmissionMachine(RuleBasedStateMachine):
    """Whatever sessions do, places are neither lost nor given twice, and nobody overtakes."""

    names = st.sampled_from("abcdefgh")

    def __init__(self) -> None:
        super().__init__()
        self.book = admission(slots=2, max_waiting=4, idle_yield_s=5.0)
        self.now_s = 0.0
        self.queue: list[str] = []

    def _admitted(self, names: list[str]) -> None:
        assert names == self.queue[: len(names)]
        del self.queue[: len(names)]
        for name in names:
            assert self.book.claim(name, self.now_s)

    @rule(name=names)
    def enter(self, name: str) -> None:
        known = self.book.holds(name) or name in self.queue
        try:
            admitted = self.book.enter(name, self.now_s)
        except QueueFull:
            assert not known
            assert len(self.queue) == 4
            return
        if not known:
            self.queue.append(name)
        self._admitted(admitted)
        assert self.book.claim(name, self.now_s) == self.book.holds(name)

    @rule(name=names)
    def leave(self, name: str) -> None:
        if name in self.queue:
            self.queue.remove(name)
        self._admitted(self.book.leave(name, self.now_s))
        assert not self.book.holds(name)

    @rule(name=names, seconds=st.floats(0.1, 9))
    def segment(self, name: str, seconds: float) -> None:
        if self.book.holds(name):
            self.book.started(name)
            self.now_s += seconds
            self._admitted(self.book.finished(name, self.now_s, seconds))
            assert self.book.holds(name)

    @rule(seconds=st.floats(0.1, 9))
    def job(self, seconds: float) -> None:
        assert self.book.enter_beside("job", self.now_s) == ["job"]
        assert self.book.claim("job", self.now_s)
        self.book.started("job")
        self.now_s += seconds
        self._admitted(self.book.finished("job", self.now_s, seconds))
        self._admitted(self.book.leave("job", self.now_s))

    @rule(seconds=st.floats(0, 9))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        self._admitted(self.book.promote(self.now_s))
        due_s = self.book.next_yield_s()
        assert due_s is None or due_s > self.now_s

    @invariant()
    def places_are_true(self) -> None:
        assert self.book.leases <= 2
        places = self.book.places()
        assert list(places) == self.queue
        assert [place.position for place in places.values()] == list(range(len(self.queue)))
        assert all(place.queue_depth == len(self.queue) for place in places.values())
        assert not self.queue or self.book.free_slots == 0


AdmissionMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_places_are_neither_lost_nor_given_twice = AdmissionMachine.TestCase
