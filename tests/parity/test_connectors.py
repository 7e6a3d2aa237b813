from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from benchmarks.diffusers_names import renamed
from fastvideo.models.ltx2.connectors import TextConnectors, TextConnectorsConfig

diffusers_connectors = pytest.importorskip("diffusers.pipelines.ltx2.connectors")

REGISTERS = 4
V20: dict[str, Any] = {
    "caption_channels": 24,
    "connector_num_attention_heads": 2,
    "connector_attention_head_dim": 12,
    "connector_num_layers": 2,
    "connector_num_learnable_registers": REGISTERS,
    "connector_positional_embedding_max_pos": [4096],
    "rope_type": "split",
    "frequencies_precision": "float64",
}
V23: dict[str, Any] = {
    **V20,
    "caption_proj_before_connector": True,
    "connector_num_attention_heads": 2,
    "connector_attention_head_dim": 16,
    "audio_connector_num_attention_heads": 2,
    "audio_connector_attention_head_dim": 8,
    "connector_num_layers": 3,
    "connector_apply_gated_attention": True,
}
VERSIONS = {"2.0": V20, "2.3": V23}


def oracle(config: TextConnectorsConfig) -> Any:
    per_stream = config.caption_proj_before_connector
    return diffusers_connectors.LTX2TextConnectors(
        caption_channels=config.caption_channels,
        text_proj_in_factor=config.num_text_hidden_states,
        video_connector_num_attention_heads=config.connector_num_attention_heads,
        video_connector_attention_head_dim=config.connector_attention_head_dim,
        video_connector_num_layers=config.connector_num_layers,
        video_connector_num_learnable_registers=REGISTERS,
        video_gated_attn=config.connector_apply_gated_attention,
        audio_connector_num_attention_heads=config.audio_connector_num_attention_heads,
        audio_connector_attention_head_dim=config.audio_connector_attention_head_dim,
        audio_connector_num_layers=config.connector_num_layers,
        audio_connector_num_learnable_registers=REGISTERS,
        audio_gated_attn=config.connector_apply_gated_attention,
        rope_type=config.rope_type,
        rope_double_precision=config.frequencies_precision == "float64",
        per_modality_projections=per_stream,
        video_hidden_dim=config.video_dim,
        audio_hidden_dim=config.audio_dim,
        proj_bias=per_stream,
    ).eval()


@pytest.mark.parametrize("version", ["2.0", "2.3"])
@pytest.mark.parametrize("rope_type", ["split", "interleaved"])
def test_contexts_of_left_padded_prompts_are_those_of_diffusers(version: str, rope_type: str, randomise: Any) -> None:
    config = TextConnectorsConfig.from_metadata({**VERSIONS[version], "rope_type": rope_type})
    config = replace(config, num_text_hidden_states=5)
    model = TextConnectors(config)
    randomise(model, 4)
    reference = oracle(config)
    reference.load_state_dict(renamed("connectors", model.state_dict()))
    generator = torch.Generator().manual_seed(5)
    length = 3 * REGISTERS
    hidden_states = 3 * torch.randn(
        3, length, config.caption_channels, config.num_text_hidden_states, generator=generator
    )
    valid_counts = (1, 7, length)
    mask = torch.stack([(torch.arange(length) >= length - count).long() for count in valid_counts])

    with torch.inference_mode():
        actual = model(hidden_states, mask)
        video, audio, attended = reference(hidden_states, mask)
    assert attended.all()
    for ours, theirs in zip(actual, (video, audio), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
