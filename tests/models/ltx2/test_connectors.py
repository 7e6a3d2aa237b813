from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.connectors import (
    TextConnectors,
    TextConnectorsConfig,
    fill_with_registers,
    normalise_per_layer,
    normalise_per_token,
)

V20: dict[str, Any] = {
    "caption_channels": 24,
    "connector_num_attention_heads": 2,
    "connector_attention_head_dim": 12,
    "connector_num_learnable_registers": 4,
    "rope_type": "split",
    "frequencies_precision": "float64",
}
V23: dict[str, Any] = {
    **V20,
    "caption_proj_before_connector": True,
    "apply_gated_attention": True,
    "audio_connector_attention_head_dim": 8,
    "connector_num_layers": 3,
}


def small_model(section: dict[str, Any]) -> TextConnectors:
    torch.manual_seed(0)
    config = replace(TextConnectorsConfig.from_metadata(section), num_text_hidden_states=3)
    model = TextConnectors(config)
    with torch.no_grad():
        model.video_embeddings_connector.learnable_registers.normal_()
        model.audio_embeddings_connector.learnable_registers.normal_()
    return model


def prompt(valid: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(1, valid, 24, 3, generator=generator)
    padding = 50 * torch.randn(1, length - valid, 24, 3, generator=generator)
    mask = torch.cat([torch.zeros(1, length - valid), torch.ones(1, valid)], dim=1).long()
    return torch.cat([padding, states], dim=1), mask


@pytest.mark.parametrize(("version", "section"), [("2.0", V20), ("2.3", V23)])
def test_tensors_have_the_names_of_the_official_file(version: str, section: dict[str, Any]) -> None:
    new = version == "2.3"
    names = set()
    for stream in ("video", "audio"):
        names.add(f"{stream}_embeddings_connector.learnable_registers")
        for block in (f"{stream}_embeddings_connector.transformer_1d_blocks.{i}." for i in range(3 if new else 2)):
            linears = ["attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "ff.net.0.proj", "ff.net.2"]
            linears += ["attn1.to_gate_logits"] if new else []
            names |= {f"{block}{linear}.{kind}" for linear in linears for kind in ("weight", "bias")}
            names |= {f"{block}attn1.q_norm.weight", f"{block}attn1.k_norm.weight"}
        if new:
            names |= {f"text_embedding_projection.{stream}_aggregate_embed.{kind}" for kind in ("weight", "bias")}
    if not new:
        names.add("text_embedding_projection.aggregate_embed.weight")
    assert set(small_model(section).state_dict()) == names


def test_missing_keys_give_the_published_sizes_of_2_0() -> None:
    with torch.device("meta"):
        model = TextConnectors(TextConnectorsConfig.from_metadata({}))
    assert model.text_embedding_projection.aggregate_embed.weight.shape == (3840, 188160)
    assert model.video_embeddings_connector.learnable_registers.shape == (128, 3840)
    assert len(model.audio_embeddings_connector.transformer_1d_blocks) == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("caption_channels", 25),
        ("rope_type", "diagonal"),
        ("connector_num_learnable_registers", 0),
        ("connector_positional_embedding_max_pos", [1, 2]),
    ],
)
def test_metadata_that_cannot_be_honoured_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(CheckpointError, match=key):
        TextConnectorsConfig.from_metadata({**V20, key: value})


@torch.inference_mode()
@pytest.mark.parametrize("section", [V20, V23], ids=["2.0", "2.3"])
def test_what_padding_holds_does_not_matter(section: dict[str, Any]) -> None:
    model = small_model(section)
    states, mask = prompt(valid=5, length=8)
    other = torch.where(mask[:, :, None, None].bool(), states, torch.full_like(states, -7.0))
    for a, b in zip(model(states, mask), model(other, mask), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@torch.inference_mode()
@pytest.mark.parametrize("section", [V20, V23], ids=["2.0", "2.3"])
def test_bfloat16_weights_give_contexts_of_each_stream_near_float32(section: dict[str, Any]) -> None:
    model, (states, mask) = small_model(section), prompt(valid=6, length=8)
    exact = model(states, mask)
    rounded = model.to(torch.bfloat16)(states.to(torch.bfloat16), mask)
    for wanted, got, dim in zip(exact, rounded, (model.config.video_dim, model.config.audio_dim), strict=True):
        assert got.dtype == torch.bfloat16
        assert got.shape == wanted.shape == (1, 8, dim)
        assert (got.float() - wanted).norm() < 0.05 * wanted.norm()


def test_a_length_that_the_registers_do_not_tile_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of the 4 registers, got 6"):
        small_model(V20)(*prompt(valid=3, length=6))


def test_a_mask_of_another_length_is_refused() -> None:
    states, mask = prompt(valid=3, length=8)
    with pytest.raises(ValueError, match="attention_mask: expected shape"):
        small_model(V20)(states, mask[:, 1:])


@settings(max_examples=40, deadline=None)
@given(mask=st.lists(st.booleans(), min_size=8, max_size=8))
def test_valid_tokens_move_to_the_front_in_order_and_registers_keep_their_places(mask: list[bool]) -> None:
    features = torch.arange(1.0, 9.0).view(1, 8, 1)
    registers = torch.tensor([[-1.0], [-2.0], [-3.0], [-4.0]])
    filled = fill_with_registers(features, torch.tensor([mask]), registers)[0, :, 0].tolist()
    tokens = [float(i + 1) for i, valid in enumerate(mask) if valid]
    assert filled == tokens + [-float(i % 4 + 1) for i in range(len(tokens), 8)]


def test_per_layer_normalisation_spans_eight_over_the_valid_tokens_of_a_layer() -> None:
    states, mask = prompt(valid=5, length=8)
    out = normalise_per_layer(states * torch.tensor([1.0, 10.0, 100.0]), mask.bool())
    assert (out[:, :3] == 0).all()
    valid = out[:, 3:]
    torch.testing.assert_close(valid.mean(dim=(1, 2)), torch.zeros(1, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(valid.amax(dim=(1, 2)) - valid.amin(dim=(1, 2)), torch.full((1, 3), 8.0))


def test_per_token_normalisation_gives_each_token_and_layer_unit_power() -> None:
    states, mask = prompt(valid=5, length=8)
    out = normalise_per_token(states * torch.tensor([1.0, 10.0, 100.0]), mask.bool())
    assert (out[:, :3] == 0).all()
    torch.testing.assert_close(out[:, 3:].square().mean(dim=2), torch.ones(1, 5, 3), atol=1e-5, rtol=0)
