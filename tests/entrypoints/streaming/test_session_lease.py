from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fastvideo.entrypoints.streaming.session_lease import (
    Lease,
    LeaseHeld,
    LeaseLost,
    LeaseRecord,
    check_write,
    grant,
    renew,
)


def refused(record: LeaseRecord | None, lease: Lease | None, now_s: float) -> bool:
    try:
        check_write(record, "a", lease, now_s=now_s)
    except (LeaseHeld, LeaseLost):
        return True
    return False


class LeaseMachine(RuleBasedStateMachine):
    """Servers that ask for one session's lease, in any order and at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 100.0
        self.record: LeaseRecord | None = None
        self.given: list[Lease] = []

    @rule(holder=st.sampled_from("xyz"), ttl_s=st.sampled_from([1.0, 5.0]), take_over=st.booleans())
    def acquire(self, holder: str, ttl_s: float, take_over: bool) -> None:
        last = self.record
        held = last is not None and last.holder != holder and last.held_until_s > self.now_s
        asked = Lease("a", holder, 0, ttl_s)
        if held and not take_over:
            with pytest.raises(LeaseHeld):
                grant(last, asked, now_s=self.now_s, take_over=False)
            return
        self.record = grant(last, asked, now_s=self.now_s, take_over=take_over)
        self.given.append(Lease("a", holder, self.record.token, ttl_s))

    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        if not self.given:
            return
        lease = data.draw(st.sampled_from(self.given))
        if lease is self.given[-1]:
            self.record = renew(self.record, lease, now_s=self.now_s)
            assert self.record.held_until_s == self.now_s + lease.ttl_s
        else:
            with pytest.raises(LeaseLost):
                renew(self.record, lease, now_s=self.now_s)

    @rule(seconds=st.sampled_from([0.0, 0.5, 2.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def lose_the_record(self) -> None:
        # A store that comes back empty is away for longer than tokens can run ahead of the clock.
        self.record = None
        self.now_s += 1.0
        self.given = self.given[-1:]

    @invariant()
    def tokens_rise(self) -> None:
        tokens = [lease.token for lease in self.given]
        assert tokens == sorted(set(tokens))

    @invariant()
    def only_the_last_may_write(self) -> None:
        for lease in self.given[:-1]:
            assert refused(self.record, lease, self.now_s)
        if self.given:
            assert not refused(self.record, self.given[-1], self.now_s)
        held = self.record is not None and self.record.held_until_s > self.now_s
        assert refused(self.record, None, self.now_s) == held


LeaseMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestLeaseMachine = LeaseMachine.TestCase
