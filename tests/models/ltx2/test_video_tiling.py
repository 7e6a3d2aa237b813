"""Chunked decoding: the plan of the tiles, and the frames that come out."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import GenerationCancelled
from fastvideo.models.ltx2.video_tiling import decode_chunks, plan_tiles
from fastvideo.models.ltx2.video_vae import VAEBlock, VideoVAE, VideoVAEConfig


def up(name: str, multiplier: int, residual: bool = False) -> VAEBlock:
    return VAEBlock(name, multiplier=multiplier, residual=residual)


def res(num_layers: int = 1) -> VAEBlock:
    return VAEBlock("res_x", num_layers=num_layers)


# The published decoders, layer for layer.
DECODER_2_0 = (*(res(5), up("compress_all", 2, residual=True)) * 3, res(5))
DECODER_2_3 = (
    res(4),
    up("compress_space", 2),
    res(6),
    up("compress_time", 2),
    res(4),
    up("compress_all", 1),
    res(2),
    up("compress_all", 2),
    res(2),
)


class CountingVAE(VideoVAE):
    """Remembers how many feature frames each tail was given."""

    def __init__(self, config: VideoVAEConfig) -> None:
        super().__init__(config)
        self.tails: list[int] = []

    def decode_tail(self, features: Tensor, *, causal: bool | None = None) -> Tensor:
        self.tails.append(features.shape[2])
        return super().decode_tail(features, causal=causal)


def build_vae(
    decoder_blocks: tuple[VAEBlock, ...], *, base_channels: int = 4, padding: str = "zeros", seed: int = 0
) -> CountingVAE:
    torch.manual_seed(seed)
    encoder_blocks = tuple(VAEBlock(block.name) for block in decoder_blocks if not block.is_resnet)
    config = VideoVAEConfig(
        encoder_blocks=encoder_blocks,
        decoder_blocks=decoder_blocks,
        latent_channels=8,
        encoder_base_channels=4,
        decoder_base_channels=base_channels,
        decoder_spatial_padding_mode=padding,
    )
    return CountingVAE(config).eval()


SMALL = {
    8: (res(), up("compress_space", 1), up("compress_time", 1), res(), up("compress_all", 1), up("compress_all", 1)),
    4: (res(), up("compress_all", 2), res(), up("compress_time", 1)),
    2: (up("compress_all", 1), res()),
    1: (up("compress_space", 1), res()),
}


@given(
    length=st.integers(1, 40),
    temporal_scale=st.sampled_from([1, 2, 4, 8]),
    tile=st.integers(1, 12),
    overlap=st.integers(0, 11),
)
def test_weights_sum_to_one_in_every_frame(length: int, temporal_scale: int, tile: int, overlap: int) -> None:
    overlap %= tile
    tiles = plan_tiles(length, temporal_scale=temporal_scale, tile=tile, overlap=overlap)
    totals = [0.0] * (1 + (length - 1) * temporal_scale)
    for part in tiles:
        assert len(part.weights) == part.frame_stop - part.frame_start
        assert all(0 < weight <= 1 for weight in part.weights)
        for i, weight in enumerate(part.weights):
            totals[part.frame_start + i] += weight
    assert totals == pytest.approx([1.0] * len(totals), abs=1e-12)


@given(
    length=st.integers(1, 40),
    temporal_scale=st.sampled_from([1, 2, 4, 8]),
    tile=st.integers(1, 12),
    overlap=st.integers(0, 11),
)
def test_every_tile_decodes_to_the_frames_it_is_planned_for(
    length: int, temporal_scale: int, tile: int, overlap: int
) -> None:
    overlap %= tile
    tiles = plan_tiles(length, temporal_scale=temporal_scale, tile=tile, overlap=overlap)
    for part in tiles:
        decoded = 1 + (part.stop - part.start - 1) * temporal_scale
        assert decoded - part.skipped_frames == part.frame_stop - part.frame_start
        assert part.skipped_frames == (part.frame_start > 0)
        assert part.stop - part.start <= tile + 1
    for before, after in itertools.pairwise(tiles):
        assert before.frame_start < after.frame_start <= before.frame_stop < after.frame_stop


def test_a_ramp_rises_and_falls_linearly_over_the_overlap() -> None:
    first, second = plan_tiles(5, temporal_scale=2, tile=3, overlap=1)
    assert (first.frame_start, first.frame_stop, second.frame_start, second.frame_stop) == (0, 5, 3, 9)
    assert first.weights == pytest.approx([1, 1, 1, 2 / 3, 1 / 3])
    assert second.weights == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 1])
    assert (second.start, second.stop, second.skipped_frames) == (1, 5, 1)


@pytest.mark.parametrize(("tile", "overlap"), [(0, 0), (3, 3), (3, -1), (2, 5)])
def test_an_overlap_must_be_smaller_than_its_tile(tile: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="overlap < tile"):
        plan_tiles(4, temporal_scale=8, tile=tile, overlap=overlap)


def test_an_empty_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one latent frame"):
        plan_tiles(0, temporal_scale=8, tile=4, overlap=1)


VAES = {scale: build_vae(blocks) for scale, blocks in SMALL.items()}


@settings(max_examples=60, deadline=None)
@given(
    scale=st.sampled_from(sorted(SMALL)),
    latent_frames=st.integers(1, 20),
    tile=st.integers(1, 9),
    overlap=st.integers(0, 8),
)
def test_chunks_hold_as_many_frames_as_the_whole_decode(
    scale: int, latent_frames: int, tile: int, overlap: int
) -> None:
    vae = VAES[scale]
    assert vae.temporal_scale == scale
    latents = torch.randn(1, 8, latent_frames, 1, 1)
    chunks = list(decode_chunks(vae, latents, tile_latents=tile, overlap_latents=overlap % tile))
    assert all(chunk.shape[2] > 0 for chunk in chunks)
    assert sum(chunk.shape[2] for chunk in chunks) == 1 + (latent_frames - 1) * scale


@pytest.mark.parametrize("scale", sorted(SMALL))
@pytest.mark.parametrize("causal", [False, True])
@torch.no_grad()
def test_one_tile_gives_exactly_the_whole_decode(scale: int, causal: bool) -> None:
    latents = torch.randn(1, 8, 6, 2, 2)
    (chunk,) = decode_chunks(VAES[scale], latents, tile_latents=6, overlap_latents=2, causal=causal)
    assert torch.equal(chunk, VAES[scale].decode(latents, causal=causal))


@torch.no_grad()
def test_frames_before_the_first_overlap_are_those_of_the_first_tile_alone() -> None:
    vae = VAES[8]
    latents = torch.randn(1, 8, 16, 2, 2)
    first = next(decode_chunks(vae, latents))
    # Tiles of 16 feature frames with 6 shared: the second begins with feature frame 10, which is frame 37.
    expected = vae.decode_tail(vae.decode_head(latents)[:, :, :16])[:, :, :37]
    assert torch.equal(first, expected)


def test_a_chunk_leaves_before_the_next_tile_is_decoded() -> None:
    vae = build_vae(SMALL[8])
    chunks = decode_chunks(vae, torch.randn(1, 8, 16, 2, 2))
    assert next(chunks).shape[2] == 37
    assert vae.tails == [16]
    assert next(chunks).shape[2] == 40
    assert vae.tails == [16, 17]
    assert sum(chunk.shape[2] for chunk in chunks) == 121 - 77
    assert vae.tails == [16, 17, 12]


def test_cancelling_stops_before_the_next_tile() -> None:
    vae = build_vae(SMALL[8])
    cancel = CancellationToken()
    chunks = decode_chunks(vae, torch.randn(1, 8, 16, 2, 2), cancel=cancel)
    next(chunks)
    cancel.cancel()
    with pytest.raises(GenerationCancelled):
        next(chunks)
    assert vae.tails == [16]


def test_a_cancelled_decode_does_not_start() -> None:
    vae = build_vae(SMALL[8])
    cancel = CancellationToken()
    cancel.cancel()
    with pytest.raises(GenerationCancelled):
        next(decode_chunks(vae, torch.randn(1, 8, 2, 2, 2), cancel=cancel))
    assert vae.tails == []


@pytest.mark.parametrize(("layout", "padding"), [(DECODER_2_0, "reflect"), (DECODER_2_3, "zeros")], ids=["2.0", "2.3"])
@pytest.mark.parametrize("seed", [0, 1])
@torch.no_grad()
def test_tiles_stay_within_40_db_of_the_whole_decode(layout: tuple[VAEBlock, ...], padding: str, seed: int) -> None:
    vae = build_vae(layout, base_channels=8, padding=padding, seed=seed)
    latents = torch.randn(1, 8, 16, 2, 2)
    whole = vae.decode(latents)
    tiled = torch.cat(list(decode_chunks(vae, latents)), dim=2)
    assert not torch.equal(tiled, whole)
    peak = (whole.max() - whole.min()).item()
    psnr_db = 10 * math.log10(peak**2 / (tiled - whole).square().mean().item())
    assert psnr_db >= 40
