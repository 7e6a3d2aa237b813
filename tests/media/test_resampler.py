from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fastvideo.media.resampler import HALF_WIDTH, Resampler, interpolate, zero_padded

RATES_HZ = [8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 96_000]


def tones(positions_s: NDArray[np.float64], limit_hz: float) -> NDArray[np.float32]:
    frequencies = np.linspace(100, limit_hz, 6)
    waves = [np.sin(2 * np.pi * hz * positions_s + index) for index, hz in enumerate(frequencies)]
    return (np.sum(waves, axis=0)[None] / len(frequencies)).astype(np.float32)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_tones_below_nyquist_come_out_as_the_same_tones_at_the_new_rate(rate_hz: int) -> None:
    limit_hz = 0.45 * min(rate_hz, 48_000)
    source = tones(np.arange(rate_hz) / rate_hz, limit_hz)
    converted = Resampler(rate_hz, 48_000).convert(source, 0, 0, 48_000)
    error = converted - tones(np.arange(48_000) / 48_000, limit_hz)
    inner = error[:, 2_000:-2_000]
    assert 10 * np.log10(np.mean(np.square(inner))) < -80


def test_what_the_new_rate_cannot_hold_is_removed() -> None:
    time_s = np.arange(96_000) / 96_000
    source = np.sin(2 * np.pi * 30_000 * time_s)[None].astype(np.float32)
    converted = Resampler(96_000, 48_000).convert(source, 0, 2_000, 46_000)
    assert 10 * np.log10(np.mean(np.square(converted))) < -70


@pytest.mark.parametrize(("rate_hz", "up"), [(24_000, 2), (16_000, 3), (8_000, 6)])
def test_where_an_output_sample_falls_on_a_source_sample_it_is_that_sample(rate_hz: int, up: int) -> None:
    source = np.random.default_rng(1).standard_normal((2, 500)).astype(np.float32)
    converted = Resampler(rate_hz, 48_000).convert(source, 0, 0, 500 * up)
    np.testing.assert_allclose(converted[:, ::up], source, atol=1e-6)


@settings(max_examples=60)
@given(
    st.sampled_from([*RATES_HZ, 48_000]),
    st.integers(-3_000, 3_000),
    st.lists(st.integers(1, 1_500), min_size=1, max_size=5),
    st.integers(-200, 200),
)
def test_pieces_laid_end_to_end_are_the_whole(rate_hz: int, start: int, lengths: list[int], source_start: int) -> None:
    source = np.random.default_rng(2).standard_normal((2, 1_000)).astype(np.float32)
    resampler = Resampler(rate_hz, 48_000)
    cuts = np.cumsum([start, *lengths]).tolist()
    pieces = [resampler.convert(source, source_start, low, high) for low, high in pairwise(cuts)]
    assert [piece.shape for piece in pieces] == [(2, length) for length in lengths]
    whole = resampler.convert(source, source_start, cuts[0], cuts[-1])
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole, atol=1e-5)


def test_the_same_rate_changes_nothing() -> None:
    source = np.random.default_rng(3).standard_normal((2, 100)).astype(np.float32)
    resampler = Resampler(48_000, 48_000)
    assert resampler.is_identity
    np.testing.assert_array_equal(resampler.convert(source, -10, -10, 90), source)


def test_values_between_samples_are_those_of_the_tone() -> None:
    time = np.arange(400.0)
    positions = np.array([100.0, 150.25, 200.5, 299.9])
    values = interpolate(np.sin(0.3 * time)[None].astype(np.float32), positions)
    np.testing.assert_allclose(values[0], np.sin(0.3 * positions), atol=1e-4)


def test_there_is_silence_outside_the_source() -> None:
    source = np.ones((2, 10), np.float32)
    assert not interpolate(source, np.array([-HALF_WIDTH - 1.0, 10.0 + HALF_WIDTH])).any()
    assert not interpolate(np.zeros((2, 0), np.float32), np.array([0.0])).any()


@given(st.integers(0, 20), st.integers(-40, 40), st.integers(0, 40))
def test_padding_gives_the_range_asked_for_whatever_of_it_exists(size: int, start: int, length: int) -> None:
    source = np.arange(1.0, size + 1, dtype=np.float32)[None]
    padded = zero_padded(source, start, start + length)
    expected = [float(at + 1) if 0 <= at < size else 0.0 for at in range(start, start + length)]
    assert padded[0].tolist() == expected
