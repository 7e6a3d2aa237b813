"""Ranks are threads here: what is compared is arithmetic. tests/pipelines/basic/ltx2/sequence has processes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import torch
from torch import Tensor

from fastvideo.api.errors import ConfigValidationError
from fastvideo.models.ltx2.rope import audio_positions, video_positions
from fastvideo.models.ltx2.sequence_group import SequenceGroup
from fastvideo.models.ltx2.sequence_transformer import SequenceTransformer
from fastvideo.models.ltx2.transformer import LTX2Transformer, LTX2TransformerConfig, ModalityInput, Perturbation

V20 = LTX2TransformerConfig(
    num_layers=2,
    in_channels=6,
    out_channels=6,
    num_attention_heads=6,
    attention_head_dim=20,
    cross_attention_dim=120,
    audio_in_channels=4,
    audio_out_channels=4,
    audio_num_attention_heads=6,
    audio_attention_head_dim=8,
    audio_cross_attention_dim=48,
    caption_channels=10,
    rope_type="split",
    av_ca_timestep_scale_multiplier=1000.0,
)
V23 = LTX2TransformerConfig(
    **{name: getattr(V20, name) for name in V20.__dataclass_fields__}
    | {"caption_proj_before_connector": True, "apply_gated_attention": True, "cross_attention_adaln": True}
)
GRID = (3, 1, 5)
TOKENS, SOUNDS = 15, 7


def filled(config: LTX2TransformerConfig) -> LTX2Transformer:
    transformer = LTX2Transformer(config).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(3)
    for name, parameter in transformer.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(noise / parameter[0].numel() ** 0.5 if name.endswith("weight") and noise.ndim > 1 else noise)
    return transformer


def inputs(config: LTX2TransformerConfig, *, kept: bool = False, batch: int = 2) -> tuple[ModalityInput, ModalityInput]:
    generator = torch.Generator().manual_seed(5)
    sigma = torch.tensor([0.9, 0.4])[:batch]
    widths = (
        (config.cross_attention_dim, config.audio_cross_attention_dim)
        if config.caption_proj_before_connector
        else (config.caption_channels,) * 2
    )

    def stream(tokens: int, channels: int, positions: Tensor, width: int) -> ModalityInput:
        timesteps = sigma.unsqueeze(1)
        if kept:
            timesteps = timesteps * torch.ones(batch, tokens).index_fill(1, torch.arange(2), 0.0)
        return ModalityInput(
            latents=torch.randn((batch, tokens, channels), generator=generator),
            timesteps=timesteps,
            sigma=sigma,
            positions=positions,
            context=torch.randn((batch, 5, width), generator=generator),
        )

    return (
        stream(TOKENS, config.in_channels, video_positions(*GRID, fps=24), widths[0]),
        stream(SOUNDS, config.audio_in_channels, audio_positions(SOUNDS), widths[1]),
    )


def on_each_rank(size: int, work: Callable[[SequenceGroup], Any]) -> list[Any]:
    """What ``work`` gives on every rank of a group."""
    dist: Any = torch.distributed
    store = dist.HashStore()

    def rank(index: int) -> Any:
        options = dist.ProcessGroupGloo._Options()
        options._devices = [dist.ProcessGroupGloo.create_device(hostname="127.0.0.1")]
        options._timeout = timedelta(seconds=30)
        return work(SequenceGroup(dist.ProcessGroupGloo(store, index, size, options), torch.device("cpu")))

    with ThreadPoolExecutor(size) as threads:
        return list(threads.map(rank, range(size)))


@pytest.mark.parametrize("config", [V20, V23], ids=["2.0", "2.3"])
@pytest.mark.parametrize(
    ("size", "kept", "perturbation"),
    [
        (2, False, Perturbation()),
        (2, True, Perturbation()),
        (2, True, Perturbation(value_blocks=frozenset({1}))),
        (2, False, Perturbation(isolated=True)),
        # Six shares of three tokens: the last one is nothing but padding.
        (6, True, Perturbation()),
    ],
)
def test_every_rank_gets_the_velocities_that_one_alone_computes(
    config: LTX2TransformerConfig, size: int, kept: bool, perturbation: Perturbation
) -> None:
    transformer = filled(config)
    video, audio = inputs(config, kept=kept)
    with torch.inference_mode():
        expected = transformer(video, audio, perturbation=perturbation)

    @torch.inference_mode()
    def share(group: SequenceGroup) -> tuple[Tensor, Tensor]:
        own = SequenceTransformer(copy.deepcopy(transformer), group)
        assert video.context is not None
        assert audio.context is not None
        rope = own.rope_tables(video.positions, audio.positions)
        text = own.text_input(video.context, audio.context, keep_keys=True)
        return own(video, audio, rope=rope, text=text, perturbation=perturbation)

    for found in on_each_rank(size, share):
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_tokens_that_do_not_divide_are_filled_up_and_come_back_as_they_were() -> None:
    x = torch.arange(2.0 * 7 * 3).view(2, 7, 3)

    def there_and_back(group: SequenceGroup) -> tuple[int, Tensor]:
        part = group.part(x, 1)
        return part.shape[1], group.whole(part, 1, 7)

    for share, found in on_each_rank(4, there_and_back):
        assert share == 2
        assert torch.equal(found, x)


def test_heads_and_tokens_change_places_and_back() -> None:
    x = torch.randn((2, 4, 5, 3), generator=torch.Generator().manual_seed(0))

    def there_and_back(group: SequenceGroup) -> tuple[int, Tensor, Tensor]:
        part = group.part(x, 2)
        heads = group.to_heads(part, 5)
        return group.rank, heads, group.whole(group.to_tokens(heads, part.shape[2]), 2, 5)

    for rank, heads, found in on_each_rank(2, there_and_back):
        assert torch.equal(heads, x[:, 2 * rank : 2 * rank + 2])
        assert torch.equal(found, x)


def test_a_model_whose_heads_cannot_be_dealt_out_is_refused() -> None:
    def build(group: SequenceGroup) -> None:
        with pytest.raises(ConfigValidationError, match="divisor of the model's 6 and 6 attention heads, got 4"):
            SequenceTransformer(LTX2Transformer(V20), group)

    on_each_rank(4, build)
