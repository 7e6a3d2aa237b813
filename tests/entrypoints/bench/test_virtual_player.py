from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastvideo.entrypoints.bench.virtual_player import VirtualPlayer

# How long after the one before each comes, and how much it holds: whole milliseconds, which the simulation can count.
FRAGMENTS = st.lists(st.tuples(st.integers(0, 900), st.integers(1, 400)), min_size=1, max_size=30)
BUFFERS = st.sampled_from([0, 1, 250, 500])


def played(fragments: list[tuple[int, int]], buffer_ms: int, after_ms: int = 0) -> VirtualPlayer:
    player = VirtualPlayer(buffer_ms / 1000)
    now_ms = end_ms = 0
    for wait_ms, length_ms in fragments:
        now_ms += wait_ms
        player.received(end_ms / 1000, (end_ms + length_ms) / 1000, now_ms / 1000)
        end_ms += length_ms
    player.finish((now_ms + after_ms) / 1000)
    return player


def simulated(fragments: list[tuple[int, int]], buffer_ms: int) -> tuple[int | None, int, int, int]:
    """The same, one millisecond at a time: when it started, where it came, how long it stood, and how often."""
    arrivals, now = [], 0
    for wait_ms, length_ms in fragments:
        now += wait_ms
        arrivals.append((now, length_ms))
    started, position, end, stood, stalls = None, 0, 0, 0, 0
    playing = standing = False
    for tick in range(now + 1):
        for at, length_ms in arrivals:
            if at == tick:
                end += length_ms
                if not playing and end - position >= buffer_ms:
                    playing, standing = True, False
                    started = tick if started is None else started
        if tick == now:
            break
        if playing and position == end:
            playing, standing, stalls = False, True, stalls + 1
        if playing:
            position += 1
        elif standing:
            stood += 1
    return started, position, stood, stalls


@given(FRAGMENTS, BUFFERS)
@example([(0, 400), (400, 400)], 250)  # The next fragment comes at the very moment at which the one before is over.
@example([(0, 100), (500, 100), (0, 100), (700, 1)], 250)
def test_it_plays_and_stands_as_a_simulation_of_every_millisecond_does(
    fragments: list[tuple[int, int]], buffer_ms: int
) -> None:
    player = played(fragments, buffer_ms)
    started, position, stood, stalls = simulated(fragments, buffer_ms)
    assert player.started_at_s == (None if started is None else pytest.approx(started / 1000))
    assert player.position_s == pytest.approx(position / 1000)
    assert sum(stall.duration_s for stall in player.stalls) == pytest.approx(stood / 1000, abs=1e-6)
    assert len([stall for stall in player.stalls if stall.duration_s > 1e-9]) == stalls


@given(FRAGMENTS, BUFFERS, st.integers(0, 2000))
def test_all_the_time_since_it_started_is_spent_playing_or_standing(
    fragments: list[tuple[int, int]], buffer_ms: int, after_ms: int
) -> None:
    player = played(fragments, buffer_ms, after_ms)
    if player.started_at_s is not None:
        left_s = (sum(wait_ms for wait_ms, _ in fragments) + after_ms) / 1000
        stood_s = sum(stall.duration_s for stall in player.stalls)
        assert player.position_s + stood_s == pytest.approx(left_s - player.started_at_s, abs=1e-6)


@given(FRAGMENTS, BUFFERS)
def test_a_place_that_was_played_was_shown_after_it_had_come_and_in_order(
    fragments: list[tuple[int, int]], buffer_ms: int
) -> None:
    player = played(fragments, buffer_ms, after_ms=10_000)
    now_ms = start_ms = 0
    before_s = 0.0
    for wait_ms, length_ms in fragments:
        now_ms += wait_ms
        shown_s = player.shown_at_s(start_ms / 1000)
        if shown_s is not None and start_ms / 1000 < player.position_s:
            assert shown_s >= now_ms / 1000 - 1e-6
            assert shown_s >= before_s
            before_s = shown_s
        start_ms += length_ms
    assert player.shown_at_s(player.position_s + 1) is None


@given(FRAGMENTS, BUFFERS)
def test_what_is_there_at_once_never_stands(fragments: list[tuple[int, int]], buffer_ms: int) -> None:
    player = VirtualPlayer(buffer_ms / 1000)
    total_ms = 0
    for _, length_ms in fragments:
        player.received(total_ms / 1000, (total_ms + length_ms) / 1000, 0.0)
        total_ms += length_ms
    player.ended(0.0)
    player.finish(1000.0)
    assert player.stalls == []
    assert player.position_s == pytest.approx(total_ms / 1000)


@pytest.mark.parametrize(("rtf", "buffer_s"), [(1.2, 0.5), (2.0, 0.5), (1.05, 0.25)])
def test_media_that_is_made_too_slowly_stands_for_the_difference(rtf: float, buffer_s: float) -> None:
    player, media_s, piece_s = VirtualPlayer(buffer_s), 60.0, 0.125
    for index in range(round(media_s / piece_s)):
        player.received(index * piece_s, (index + 1) * piece_s, rtf * (index + 1) * piece_s)
    player.finish(rtf * media_s)
    # It began when the buffer was there, and has played everything but at most a buffer's worth.
    waited_s = rtf * buffer_s
    stood_s = sum(stall.duration_s for stall in player.stalls)
    assert (rtf - 1) * media_s - waited_s <= stood_s <= (rtf - 1) * media_s - waited_s + buffer_s + 1e-6


def test_media_that_is_made_faster_than_it_plays_never_stands() -> None:
    player = VirtualPlayer()
    for index in range(480):
        player.received(index * 0.125, (index + 1) * 0.125, 0.9 * (index + 1) * 0.125)
    player.finish(0.9 * 60)
    assert player.stalls == []


def test_a_picture_that_rests_because_nothing_more_is_owed_has_not_stalled() -> None:
    player = VirtualPlayer(0.5)
    player.received(0.0, 1.0, 0.0)
    player.ended(0.5)
    player.look(8.0)
    assert (player.position_s, player.dry_at_s) == (1.0, None)
    player.received(1.0, 2.0, 9.0)
    player.finish(11.0)
    # Of the second it plays all, and then stands, because it was not told of an end.
    assert [(stall.at_s, stall.duration_s) for stall in player.stalls] == [(10.0, 1.0)]
    assert player.shown_at_s(1.5) == 9.5


def test_a_stream_that_ends_plays_what_was_too_little_to_begin_with() -> None:
    player = VirtualPlayer(0.5)
    player.received(0.0, 0.2, 1.0)
    player.look(5.0)
    assert player.started_at_s is None
    player.ended(5.0)
    player.finish(6.0)
    assert (player.started_at_s, player.position_s, player.stalls) == (5.0, 0.2, [])


def test_what_begins_where_the_picture_stands_has_not_been_shown() -> None:
    player = VirtualPlayer(0.5)
    player.received(0.0, 1.0, 0.0)
    player.received(1.0, 1.2, 3.0)
    player.finish(4.0)
    assert player.shown_at_s(1.0) is None
    assert player.shown_at_s(0.75) == 0.75


def test_a_timeline_may_begin_anywhere() -> None:
    player = VirtualPlayer(0.0)
    player.received(100.0, 101.0, 3.0)
    player.look(3.25)
    assert (player.begun_at_s, player.position_s, player.ahead_s) == (100.0, 100.25, 0.75)


def test_time_does_not_go_back() -> None:
    player = VirtualPlayer()
    player.look(2.0)
    with pytest.raises(ValueError, match="at least 2"):
        player.look(1.0)
