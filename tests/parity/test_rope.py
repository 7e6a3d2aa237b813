from __future__ import annotations

from typing import Any

import pytest
import torch

from fastvideo.models.ltx2.rope import RopeType, audio_positions, rope_table, rotate, video_positions

diffusers_ltx2 = pytest.importorskip("diffusers.models.transformers.transformer_ltx2")

HEADS = 2
DIM = 40  # 40 // 6 = 6 frequencies an axis: 18 of 20 places, so two are padded


def oracle(rope_type: RopeType, modality: str, dim: int, **options: Any) -> Any:
    return diffusers_ltx2.LTX2AudioVideoRotaryPosEmbed(
        dim=dim, modality=modality, rope_type=rope_type, num_attention_heads=HEADS, **options
    )


@pytest.mark.parametrize(("grid", "fps"), [((1, 1, 1), 24.0), ((3, 4, 5), 24.0), ((16, 2, 3), 29.97)])
def test_video_positions_are_those_of_diffusers(grid: tuple[int, int, int], fps: float) -> None:
    expected = oracle("split", "video", DIM).prepare_video_coords(1, *grid, device="cpu", fps=fps)
    torch.testing.assert_close(video_positions(*grid, fps=fps), expected, rtol=0, atol=0)


@pytest.mark.parametrize("length", [1, 2, 126])
def test_audio_positions_are_those_of_diffusers(length: int) -> None:
    expected = oracle("split", "audio", DIM, scale_factors=[4]).prepare_audio_coords(1, length, device="cpu")
    torch.testing.assert_close(audio_positions(length), expected, rtol=0, atol=0)


@pytest.mark.parametrize("rope_type", ["split", "interleaved"])
@pytest.mark.parametrize("float64_grid", [True, False])
@pytest.mark.parametrize("offset_s", [0.0, 40 / 24])
def test_video_rotation_is_that_of_diffusers(rope_type: RopeType, float64_grid: bool, offset_s: float) -> None:
    positions = video_positions(3, 4, 5, fps=24.0, offset_s=offset_s)
    reference = oracle(rope_type, "video", DIM, double_precision=float64_grid)
    shifted = reference.prepare_video_coords(1, 3, 4, 5, device="cpu", fps=24.0)
    shifted[:, 0] += offset_s
    assert_rotations_agree(positions, shifted, reference, rope_type, float64_grid, (20, 2048, 2048))


@pytest.mark.parametrize("rope_type", ["split", "interleaved"])
def test_audio_rotation_is_that_of_diffusers(rope_type: RopeType) -> None:
    reference = oracle(rope_type, "audio", DIM, scale_factors=[4])
    coords = reference.prepare_audio_coords(1, 30, device="cpu")
    assert_rotations_agree(audio_positions(30), coords, reference, rope_type, True, (20,))


def assert_rotations_agree(
    positions: torch.Tensor,
    coords: torch.Tensor,
    reference: Any,
    rope_type: RopeType,
    float64_grid: bool,
    extent: tuple[float, ...],
) -> None:
    table = rope_table(
        positions.mean(-1),
        dim=DIM,
        heads=HEADS,
        max_positions=extent,
        theta=10000.0,
        float64_grid=float64_grid,
        dtype=torch.float32,
    )
    x = torch.randn(2, positions.shape[2], DIM, generator=torch.Generator().manual_seed(0))
    apply = getattr(diffusers_ltx2, f"apply_{rope_type}_rotary_emb")
    expected = apply(x, tuple(t.expand(2, *t.shape[1:]) for t in reference(coords)))

    per_head = x.view(2, -1, HEADS, DIM // HEADS).transpose(1, 2)
    actual = rotate(per_head, table, rope_type).transpose(1, 2).flatten(2)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6)
    assert not torch.allclose(actual, x, atol=0.1)
