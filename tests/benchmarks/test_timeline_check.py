import numpy as np
import pytest

from benchmarks.timeline_check import TimelineCheck
from fastvideo.media.encoder import Fragment, SegmentEncoder
from fastvideo.media.timeline import MediaCursor

FPS = 24


@pytest.fixture(scope="module")
def session() -> tuple[bytes, list[Fragment]]:
    """Two segments of a second each."""
    cursor, init, fragments = MediaCursor.start(), b"", []
    for _ in range(2):
        with SegmentEncoder(width=32, height=32, fps=FPS, cursor=cursor, encoder="libx264") as segment:
            init = segment.init_segment
            segment.push_audio(np.zeros((2, 48_000), np.float32), 48_000)
            fragments += segment.push_video(np.zeros((FPS, 32, 32, 3), np.uint8))
            rest, cursor = segment.finish()
            fragments += rest
    return init, fragments


def watched(init: bytes, fragments: list[Fragment], *, every_s: float = 0.0) -> TimelineCheck:
    check = TimelineCheck(start_buffer_s=0.0)
    check.add_init(init)
    for index, fragment in enumerate(fragments):
        check.add_fragment(fragment.data, index * every_s)
    return check


def test_a_whole_timeline_has_no_faults(session: tuple[bytes, list[Fragment]]) -> None:
    check = watched(*session)
    assert check.faults == []
    assert check.media_s == pytest.approx(2.0)
    assert check.stalls == 0
    assert 0 <= min(check.skews_s) <= max(check.skews_s) < 0.064


def test_a_lost_fragment_is_a_fault_of_sequence_and_of_both_tracks(session: tuple[bytes, list[Fragment]]) -> None:
    init, fragments = session
    faults = watched(init, fragments[:3] + fragments[4:]).faults
    assert len(faults) == 3
    assert any("video" in fault for fault in faults)
    assert any("audio" in fault for fault in faults)


def test_a_changed_init_segment_is_a_fault(session: tuple[bytes, list[Fragment]]) -> None:
    init, fragments = session
    check = watched(init, fragments)
    check.add_init(init + b"\0\0\0\x08free")
    assert len(check.faults) == 1


def test_media_that_comes_slower_than_it_plays_stalls_a_player(session: tuple[bytes, list[Fragment]]) -> None:
    init, fragments = session
    check = watched(init, fragments, every_s=0.3)
    assert check.stalls > 0
    # All but the last fragment's media has played when the last one comes; the rest of the time nothing did.
    played_s = check.media_s - fragments[-1].duration_ms / 1000
    assert check.stalled_s == pytest.approx((len(fragments) - 1) * 0.3 - played_s)


def test_a_player_waits_for_its_start_buffer_before_it_can_stall(session: tuple[bytes, list[Fragment]]) -> None:
    init, fragments = session
    check = TimelineCheck(start_buffer_s=1.5)
    check.add_init(init)
    for index, fragment in enumerate(fragments):
        check.add_fragment(fragment.data, index * 0.3)
    assert check.stalls == 0
    assert check.least_lead_s > 0.5
