"""A session's connections as a state machine, held against a model in which everything is looked up in its history."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.entrypoints.streaming.attachment import Attached, Attachment, Detached, Gone, GraceOver


def resumable(grace_s: float = 30.0) -> Attachment:
    attachment = Attachment(grace_s)
    attachment.resumable = True
    return attachment


def test_a_connection_that_breaks_is_waited_for_and_the_next_one_takes_its_place() -> None:
    attachment = resumable()
    assert attachment.lost(1, 100.0, left=False) == Detached(1, 130.0)
    assert not attachment.expire(129.9)
    assert attachment.resume(129.9) == 2
    assert attachment.state == Attached(2)


def test_a_client_that_closes_is_gone_at_once() -> None:
    attachment = resumable()
    assert attachment.lost(1, 0.0, left=True) == Gone()
    with pytest.raises(GraceOver):
        attachment.resume(0.0)


def test_a_close_that_is_read_after_the_loss_was_noticed_counts() -> None:
    attachment = resumable()
    attachment.lost(1, 0.0, left=False)
    assert attachment.lost(1, 0.0, left=True) == Gone()


def test_before_the_client_knows_how_to_come_back_a_loss_is_the_end() -> None:
    assert Attachment(30.0).lost(1, 0.0, left=False) == Gone()
    assert resumable(0.0).lost(1, 0.0, left=False) == Gone()


def test_giving_up_ends_the_waiting_and_no_connection() -> None:
    connected, waiting = resumable(), resumable()
    waiting.lost(1, 0.0, left=False)
    connected.give_up()
    waiting.give_up()
    assert (connected.state, waiting.state) == (Attached(1), Gone())
    assert connected.lost(1, 0.0, left=False) == Gone()


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["lost", "left", "resume", "look"]),
        st.integers(0, 3),
        st.floats(0.0, 20.0, allow_nan=False),
    ),
    max_size=30,
)


@given(EVENTS)
def test_whatever_happens_one_connection_counts_and_the_time_away_is_bounded(
    events: list[tuple[str, int, float]],
) -> None:
    grace_s, now_s = 15.0, 0.0
    attachment = resumable(grace_s)
    newest, away_since, over = 1, None, False
    for kind, back, pause_s in events:
        now_s += pause_s
        link = newest - back
        late = away_since is not None and now_s >= away_since + grace_s
        if kind == "resume":
            if over or late:
                over = True
                with pytest.raises(GraceOver):
                    attachment.resume(now_s)
            else:
                newest, away_since = newest + 1, None
                assert attachment.resume(now_s) == newest
        elif kind == "look":
            over = over or late
            assert attachment.expire(now_s) == over
        elif back == 0:
            if kind == "left":
                over = True
            elif away_since is None and not over:
                away_since = now_s
            attachment.lost(link, now_s, left=kind == "left")
        else:
            before = attachment.state
            assert attachment.lost(link, now_s, left=kind == "left") == before
        assert isinstance(attachment.state, Gone) == over
        if not over:
            expected = Attached(newest) if away_since is None else Detached(newest, away_since + grace_s)
            assert attachment.state == expected
