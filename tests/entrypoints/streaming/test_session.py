import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.entrypoints.streaming.session import (
    InvalidSessionTransition,
    Session,
    SessionManager,
    SessionRejected,
    SessionState,
)

S = SessionState
LEGAL = {
    S.INITIALIZING: {S.QUEUED, S.GPU_BINDING, S.REJECTED, S.ERROR, S.TIMEOUT},
    S.QUEUED: {S.GPU_BINDING, S.ERROR, S.TIMEOUT, S.REJECTED},
    S.GPU_BINDING: {S.ACTIVE, S.ERROR, S.TIMEOUT},
    S.ACTIVE: {S.COMPLETE, S.ERROR, S.TIMEOUT},
}


@given(st.lists(st.tuples(st.sampled_from(list(S)), st.floats(0, 1e6))))
def test_any_walk_follows_the_documented_table_and_only_legal_moves_refresh_activity(
    moves: list[tuple[SessionState, float]],
) -> None:
    session = Session(last_activity=-1.0)
    for target, now in moves:
        before, activity = session.state, session.last_activity
        if target is before or target in LEGAL.get(before, set()):
            session.transition(target, now=now)
            assert (session.state, session.last_activity) == (target, now)
        else:
            with pytest.raises(InvalidSessionTransition, match=target.value):
                session.transition(target, now=now)
            assert (session.state, session.last_activity) == (before, activity)


def test_a_session_that_ended_is_a_sink() -> None:
    for final in (S.COMPLETE, S.ERROR, S.TIMEOUT, S.REJECTED):
        session = Session(state=final)
        assert session.is_terminal()
        assert not session.is_active()
        session.transition(final)
        with pytest.raises(RuntimeError, match="final"):
            session.transition(S.ACTIVE)


def test_a_fresh_session_has_the_documented_defaults() -> None:
    first, second = Session(), Session()
    assert first.id != second.id
    assert len(first.id) == 32
    assert first.state is S.INITIALIZING
    assert first.stream_mode == "av_fmp4"
    assert first.curated_prompts == []
    assert first.metadata == {}
    assert first.gpu_id is None
    assert first.continuation_state is None
    assert not first.generation_paused


def test_the_cap_is_reached_when_as_many_segments_are_complete() -> None:
    session = Session(segment_idx=5)
    assert not session.segment_cap_reached(6)
    session.segment_idx = 6
    assert session.segment_cap_reached(6)


def test_the_manager_admits_as_many_as_configured_and_a_closed_one_makes_room_at_once() -> None:
    manager = SessionManager(segment_cap=6, session_timeout_seconds=300, max_sessions=2)
    first, second = manager.create(), manager.create()
    with pytest.raises(SessionRejected, match=r"max sessions reached \(2\)"):
        manager.create()
    manager.close(first.id)
    manager.close(first.id)
    third = manager.create()
    assert len(manager) == 2
    assert first.id not in manager
    assert manager.get(third.id) is third
    assert manager.get(first.id) is None
    assert {session.id for session in manager.active_sessions()} == {second.id, third.id}


def test_one_session_is_the_documented_default_bound() -> None:
    manager = SessionManager(segment_cap=6, session_timeout_seconds=300)
    manager.create()
    with pytest.raises(SessionRejected):
        manager.create()


def test_only_live_sessions_idle_for_strictly_longer_than_the_timeout_are_reaped() -> None:
    manager = SessionManager(segment_cap=6, session_timeout_seconds=10, max_sessions=3)
    idle, busy, over = (manager.create(now=100.0) for _ in range(3))
    over.transition(S.REJECTED, now=100.0)
    busy.touch(now=105.0)
    assert manager.reap_timed_out(now=110.0) == []
    assert manager.reap_timed_out(now=110.5) == [idle.id]
    assert idle.id in manager
