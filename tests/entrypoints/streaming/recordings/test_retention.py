from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from fastvideo.entrypoints.streaming.recordings.recording_info import RecordingInfo
from fastvideo.entrypoints.streaming.recordings.retention import Bounds, to_remove

NOW_S = 10_000.0


def info(number: int, ended_at_s: float | None, size: int) -> RecordingInfo:
    reason = None if ended_at_s is None else "stop_requested"
    return RecordingInfo(f"{number:032x}", 0.0, ended_at_s, reason, media_bytes=size)


SHELVES = st.lists(st.tuples(st.none() | st.floats(0, NOW_S), st.integers(1, 100)), max_size=12).map(
    lambda rows: [info(number, ended, size) for number, (ended, size) in enumerate(rows)]
)


@settings(max_examples=60)
@given(SHELVES, st.integers(1, 600), st.integers(1, 12), st.floats(0, NOW_S), st.integers(0, 50), st.booleans())
def test_the_oldest_that_ended_go_and_no_more_than_must(
    shelf: list[RecordingInfo], max_bytes: int, max_count: int, max_age_s: float, more_bytes: int, new: bool
) -> None:
    bounds = Bounds(max_bytes, max_count, max_age_s)
    gone = to_remove(shelf, bounds, now_s=NOW_S, more_bytes=more_bytes, more_count=int(new))
    kept = [one for one in shelf if one.id not in gone]
    ended = [one for one in kept if one.ended_at_s is not None]
    removed = [one for one in shelf if one.id in gone]

    def beyond(there: list[RecordingInfo]) -> bool:
        return sum(one.total_bytes for one in there) + more_bytes > max_bytes or len(there) + new > max_count

    # What grows stays, whatever was removed is older than what is left, and nothing too old is left.
    assert all(one.ended_at_s is not None for one in removed)
    if removed and ended:
        assert max(one.ended_at_s or 0 for one in removed) <= min(one.ended_at_s or 0 for one in ended)
    assert all(NOW_S - (one.ended_at_s or 0) <= max_age_s for one in ended)
    # Within bounds, unless what grows is beyond them by itself; and the last one that went had to.
    assert not beyond(kept) or not ended
    if removed:
        last = max(removed, key=lambda one: one.ended_at_s or 0)
        assert beyond([*kept, last]) or NOW_S - (last.ended_at_s or 0) > max_age_s
