from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvideo.models.ltx2.rope import RopeTable, RopeType, audio_positions, rope_table, rotate, video_positions

HEADS = 2
DIM = 16


def table_at(times: torch.Tensor) -> RopeTable:
    return rope_table(
        times.view(1, 1, -1),
        dim=DIM,
        heads=HEADS,
        max_positions=(20,),
        theta=100.0,
        float64_grid=True,
        dtype=torch.float32,
    )


def per_head(tokens: int, seed: int) -> torch.Tensor:
    return torch.randn(1, HEADS, tokens, DIM // HEADS, generator=torch.Generator().manual_seed(seed))


def test_the_first_video_latent_lasts_one_frame_and_each_later_one_eight() -> None:
    times = video_positions(3, 1, 1, fps=25.0)[0, 0]
    assert (times * 25).tolist() == [[0, 1], [1, 9], [9, 17]]


def test_the_first_audio_latent_lasts_one_mel_frame_and_each_later_one_four() -> None:
    times = audio_positions(3)[0, 0]
    torch.testing.assert_close(times, torch.tensor([[0.0, 0.01], [0.01, 0.05], [0.05, 0.09]]))


def test_tokens_are_ordered_by_time_then_row_then_column_in_pixels() -> None:
    positions = video_positions(1, 2, 2, fps=24.0)
    assert positions.shape == (1, 3, 4, 2)
    assert positions[0, 1].tolist() == [[0, 32], [0, 32], [32, 64], [32, 64]]
    assert positions[0, 2].tolist() == [[0, 32], [32, 64], [0, 32], [32, 64]]


def test_an_offset_moves_the_picture_in_time_only() -> None:
    moved = video_positions(2, 1, 2, fps=24.0, offset_s=1.5)
    still = video_positions(2, 1, 2, fps=24.0)
    torch.testing.assert_close(moved[:, 0], still[:, 0] + 1.5)
    torch.testing.assert_close(moved[:, 1:], still[:, 1:], rtol=0, atol=0)


@pytest.mark.parametrize("fps", [0.0, -24.0, float("nan")])
def test_frames_without_a_rate_cannot_be_placed_in_seconds(fps: float) -> None:
    with pytest.raises(ValueError, match="fps must be positive"):
        video_positions(1, 1, 1, fps=fps)


def test_positions_of_other_axes_than_the_maxima_are_refused() -> None:
    with pytest.raises(ValueError, match="3 axes"):
        rope_table(
            torch.zeros(1, 3, 4),
            dim=12,
            heads=1,
            max_positions=(20,),
            theta=1e4,
            float64_grid=True,
            dtype=torch.float32,
        )


@pytest.mark.parametrize("rope_type", ["split", "interleaved"])
@settings(max_examples=30, deadline=None)
@given(start_s=st.floats(0, 8), distance_s=st.floats(-4, 4), shift_s=st.floats(0, 8))
def test_attention_weights_depend_on_the_distance_in_time_alone(
    rope_type: RopeType, start_s: float, distance_s: float, shift_s: float
) -> None:
    q, k = per_head(1, 0), per_head(1, 1)

    def score(q_time: float, k_time: float) -> torch.Tensor:
        rotated_q = rotate(q, table_at(torch.tensor([q_time])), rope_type)
        return (rotated_q * rotate(k, table_at(torch.tensor([k_time])), rope_type)).sum(-1)

    here = score(start_s, start_s + distance_s)
    there = score(start_s + shift_s, start_s + distance_s + shift_s)
    torch.testing.assert_close(here, there, rtol=0, atol=1e-3)


@pytest.mark.parametrize("rope_type", ["split", "interleaved"])
def test_rotation_keeps_the_length_of_every_vector(rope_type: RopeType) -> None:
    x = per_head(5, 2)
    rotated = rotate(x, table_at(torch.linspace(0, 20, 5)), rope_type)
    torch.testing.assert_close(rotated.norm(dim=-1), x.norm(dim=-1))
    assert not torch.allclose(rotated, x, atol=0.1)


def test_channels_that_the_axes_cannot_share_are_not_rotated() -> None:
    table = rope_table(
        torch.rand(1, 3, 4) * 9,
        dim=16,  # two frequencies an axis fill six of eight places
        heads=HEADS,
        max_positions=(20, 2048, 2048),
        theta=1e4,
        float64_grid=True,
        dtype=torch.bfloat16,
    )
    assert table.cos.shape == table.sin.shape == (1, HEADS, 4, 4)
    assert table.cos.dtype == torch.bfloat16
    assert (table.cos[:, 0, :, :2] == 1).all()
    assert (table.sin[:, 0, :, :2] == 0).all()
    assert (table.sin[:, 0, :, 2:] != 0).all()
