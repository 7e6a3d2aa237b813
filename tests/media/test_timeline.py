from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.api.errors import StateInvalid
from fastvideo.media.timeline import FrameClock, MediaCursor, samples_at, tail_bytes


@pytest.mark.parametrize(
    ("fps", "rate"),
    [
        (24, Fraction(24)),
        (25.0, Fraction(25)),
        (23.976, Fraction(24_000, 1_001)),
        (24_000 / 1_001, Fraction(24_000, 1_001)),
        (29.97, Fraction(30_000, 1_001)),
        (59.94, Fraction(60_000, 1_001)),
        (12.5, Fraction(25, 2)),
        (0.5, Fraction(1, 2)),
    ],
)
def test_a_frame_lasts_a_whole_number_of_ticks(fps: float, rate: Fraction) -> None:
    clock = FrameClock.for_fps(fps)
    assert 1 / clock.frame_s == rate
    assert 500 <= clock.timescale < 2**31


def test_24_fps_has_the_usual_timescale() -> None:
    assert FrameClock.for_fps(24) == FrameClock(12_288, 512)


@given(st.floats(0.1, 1_000))
def test_any_rate_is_kept_closely(fps: float) -> None:
    clock = FrameClock.for_fps(fps)
    assert float(1 / clock.frame_s) == pytest.approx(fps, rel=5e-3)
    assert clock.ticks_per_frame >= 1
    assert clock.timescale < 2**31


@pytest.mark.parametrize("fps", [0, -1, 1_001, float("nan"), float("inf")])
def test_an_impossible_rate_is_refused(fps: float) -> None:
    with pytest.raises(ValueError, match="fps must be above 0"):
        FrameClock.for_fps(fps)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=20), st.sampled_from([24, 25, 30, 23.976, 29.97, 12.5]))
def test_the_samples_of_segments_add_up_to_those_of_the_whole(segments: list[int], fps: float) -> None:
    clock = FrameClock.for_fps(fps)
    ticks, samples = 0, 0
    for frames in segments:
        following = ticks + frames * clock.ticks_per_frame
        samples += samples_at(following, clock.timescale) - samples_at(ticks, clock.timescale)
        ticks = following
    exact = Fraction(ticks, clock.timescale) * 48_000
    assert 0 <= exact - samples < 1


CURSORS = st.builds(
    lambda frames, behind, tail, sequence, invented: MediaCursor(
        sequence=sequence,
        video_ticks=frames * 512,
        video_timescale=12_288,
        audio_samples=max(0, frames * 2_000 // 1_024 - behind) * 1_024,
        tail=tail_bytes(tail),
        invented_samples=invented,
        parameter_hash="ab12",
        ended=False,
    ),
    frames=st.integers(0, 10**6),
    behind=st.integers(0, 1),
    tail=st.integers(0, 9_000).map(lambda n: np.linspace(-1, 1, 2 * n, dtype=np.float32).reshape(2, n)),
    sequence=st.integers(1, 2**32 - 1),
    invented=st.integers(0, 8_192),
)


@given(CURSORS)
def test_a_cursor_survives_json(cursor: MediaCursor) -> None:
    again = MediaCursor.from_dict(json.loads(json.dumps(cursor.to_dict())))
    assert again == cursor
    np.testing.assert_array_equal(again.tail_samples(), cursor.tail_samples())


def test_the_tail_keeps_the_last_8192_samples_to_16_bits() -> None:
    wave = np.random.default_rng(0).uniform(-1, 1, (2, 10_000)).astype(np.float32)
    kept = MediaCursor(tail=tail_bytes(wave)).tail_samples()
    assert kept.shape == (2, 8_192)
    np.testing.assert_allclose(kept, wave[:, -8_192:], atol=1 / 32_767)


GOOD = MediaCursor(7, 121 * 512, 12_288, 235 * 1_024, tail_bytes(np.zeros((2, 8_192), np.float32)), 5, "ab").to_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sequence": 0}, "sequence must be a whole number from 1 to 4294967295, got 0"),
        ({"sequence": True}, "sequence must be a whole number"),
        ({"video_ticks": 1.5}, "video_ticks must be a whole number"),
        ({"video_timescale": 0}, "video_timescale"),
        ({"audio_samples": 235 * 1_024 + 1}, "do not go with the pictures' end"),
        ({"audio_samples": 230 * 1_024}, "do not go with the pictures' end"),
        ({"audio_samples": 240 * 1_024}, "do not go with the pictures' end"),
        ({"invented_samples": 9_000}, "invented_samples"),
        ({"tail": "%%%"}, "tail is not base64"),
        ({"tail": "AAAA"}, "a tail of 3 bytes"),
        ({"tail": "AAAA" * 12_000}, "a tail of 36000 bytes"),
        ({"tail": None}, "must be strings"),
        ({"parameter_hash": 3}, "must be strings"),
        ({"ended": 1}, "ended must be true or false"),
        ({"more": 1}, "expected the keys"),
    ],
)
def test_a_cursor_that_cannot_be_is_refused_with_a_reason(change: dict[str, Any], message: str) -> None:
    assert MediaCursor.from_dict(GOOD).sequence == 7
    with pytest.raises(StateInvalid, match=message):
        MediaCursor.from_dict({**GOOD, **change})


def test_a_cursor_with_a_key_missing_is_refused() -> None:
    with pytest.raises(StateInvalid, match="expected the keys"):
        MediaCursor.from_dict({key: value for key, value in GOOD.items() if key != "tail"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), JSON, max_size=4))
def test_any_values_give_a_cursor_or_state_invalid(change: dict[str, Any]) -> None:
    try:
        cursor = MediaCursor.from_dict({**GOOD, **change})
    except StateInvalid:
        return
    assert MediaCursor.from_dict(cursor.to_dict()) == cursor
