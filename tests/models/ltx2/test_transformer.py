from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.rope import audio_positions, video_positions
from fastvideo.models.ltx2.transformer import LTX2Transformer, LTX2TransformerConfig, ModalityInput

V20: dict[str, Any] = {
    "num_layers": 2,
    "in_channels": 6,
    "out_channels": 6,
    "num_attention_heads": 2,
    "attention_head_dim": 20,
    "cross_attention_dim": 40,
    "audio_in_channels": 4,
    "audio_out_channels": 4,
    "audio_num_attention_heads": 2,
    "audio_attention_head_dim": 12,
    "audio_cross_attention_dim": 24,
    "caption_channels": 10,
    "rope_type": "split",
    "frequencies_precision": "float64",
    "av_ca_timestep_scale_multiplier": 1000.0,
}
V23: dict[str, Any] = {
    **V20,
    "caption_proj_before_connector": True,
    "apply_gated_attention": True,
    "cross_attention_adaln": True,
}

ADALN = ["emb.timestep_embedder.linear_1", "emb.timestep_embedder.linear_2", "linear"]
ATTENTIONS = ["attn1", "attn2", "audio_attn1", "audio_attn2", "audio_to_video_attn", "video_to_audio_attn"]


def with_bias(names: list[str]) -> set[str]:
    return {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}


def official_names(layers: int, version: str) -> set[str]:
    """The tensor names of an official file behind ``model.diffusion_model.``, written out from the format."""
    new = version == "2.3"
    adalns = ["adaln_single", "audio_adaln_single"]
    adalns += ["av_ca_video_scale_shift_adaln_single", "av_ca_audio_scale_shift_adaln_single"]
    adalns += ["av_ca_a2v_gate_adaln_single", "av_ca_v2a_gate_adaln_single"]
    adalns += ["prompt_adaln_single", "audio_prompt_adaln_single"] if new else []
    linears = ["patchify_proj", "audio_patchify_proj", "proj_out", "audio_proj_out"]
    linears += [f"{adaln}.{part}" for adaln in adalns for part in ADALN]
    if not new:
        linears += [f"{p}caption_projection.{part}" for p in ("", "audio_") for part in ("linear_1", "linear_2")]
    names = with_bias(linears) | {"scale_shift_table", "audio_scale_shift_table"}
    for block in (f"transformer_blocks.{i}." for i in range(layers)):
        parts = ["to_q", "to_k", "to_v", "to_out.0"] + (["to_gate_logits"] if new else [])
        names |= with_bias([f"{block}{attention}.{part}" for attention in ATTENTIONS for part in parts])
        names |= {f"{block}{attention}.{norm}_norm.weight" for attention in ATTENTIONS for norm in "qk"}
        names |= with_bias([f"{block}{p}ff.net.{part}" for p in ("", "audio_") for part in ("0.proj", "2")])
        tables = ["scale_shift_table", "audio_scale_shift_table"]
        tables += ["scale_shift_table_a2v_ca_video", "scale_shift_table_a2v_ca_audio"]
        tables += ["prompt_scale_shift_table", "audio_prompt_scale_shift_table"] if new else []
        names |= {block + table for table in tables}
    return names


def small_model(section: dict[str, Any]) -> LTX2Transformer:
    torch.manual_seed(0)
    model = LTX2Transformer(LTX2TransformerConfig.from_metadata(section))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "table" in name:
                parameter.normal_(std=0.3)
    return model


def small_inputs(section: dict[str, Any], *, kept_tokens: int = 0) -> tuple[ModalityInput, ModalityInput]:
    generator = torch.Generator().manual_seed(1)
    projected = section.get("caption_proj_before_connector", False)
    timesteps, audio_timesteps = torch.full((1, 12), 0.7), torch.full((1, 5), 0.7)
    timesteps[:, :kept_tokens] = 0.0
    audio_timesteps[:, :kept_tokens] = 0.0
    sigma = torch.tensor([0.7])
    return (
        ModalityInput(
            latents=torch.randn(1, 12, 6, generator=generator),
            timesteps=timesteps,
            sigma=sigma,
            positions=video_positions(2, 2, 3, fps=24.0),
            context=torch.randn(1, 4, 40 if projected else 10, generator=generator),
        ),
        ModalityInput(
            latents=torch.randn(1, 5, 4, generator=generator),
            timesteps=audio_timesteps,
            sigma=sigma,
            positions=audio_positions(5),
            context=torch.randn(1, 4, 24 if projected else 10, generator=generator),
        ),
    )


@pytest.fixture
def fresh_dynamo() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize(("version", "section"), [("2.0", V20), ("2.3", V23)])
def test_tensors_have_the_names_of_the_official_file(version: str, section: dict[str, Any]) -> None:
    model = LTX2Transformer(LTX2TransformerConfig.from_metadata(section))
    assert set(model.state_dict()) == official_names(2, version)


@pytest.mark.parametrize(
    ("section", "billions"),
    [({}, 18.88), ({key: V23[key] for key in V23 if key not in V20}, 18.99)],
    ids=["2.0", "2.3"],
)
def test_missing_keys_give_the_published_sizes(section: dict[str, Any], billions: float) -> None:
    with torch.device("meta"):
        model = LTX2Transformer(LTX2TransformerConfig.from_metadata(section))
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e9, 2) == billions


def test_metadata_sets_every_official_field() -> None:
    official = {
        field.name: field.default
        for field in dataclasses.fields(LTX2TransformerConfig)
        if field.name != "av_cross_timestep"
    }
    changed: dict[str, Any] = {"rope_type": "split", "frequencies_precision": "float64"}
    for key, default in official.items():
        if isinstance(default, bool):
            changed[key] = not default
        elif isinstance(default, tuple):
            changed[key] = [2 * value for value in default]
        elif not isinstance(default, str):
            changed[key] = 2 * default
    config = dataclasses.asdict(LTX2TransformerConfig.from_metadata(changed))
    assert {key: list(config[key]) if isinstance(config[key], tuple) else config[key] for key in official} == changed


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("qk_norm", "layer_norm"),
        ("activation_fn", "silu"),
        ("rope_type", "diagonal"),
        ("num_layers", "48"),
        ("num_attention_heads", 0),
        ("positional_embedding_max_pos", [20]),
        ("cross_attention_adaln", 1),
        ("cross_attention_dim", 48),
    ],
)
def test_metadata_that_cannot_be_honoured_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(CheckpointError, match=key):
        LTX2TransformerConfig.from_metadata({**V20, key: value})


def test_keys_that_only_training_reads_and_null_are_ignored() -> None:
    section = {**V20, "gradient_checkpointing": True, "norm_eps": None, "qk_norm": "rms_norm"}
    assert LTX2TransformerConfig.from_metadata(section) == LTX2TransformerConfig.from_metadata(V20)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timesteps", torch.zeros(1, 11)),
        ("sigma", torch.zeros(())),
        ("positions", torch.zeros(1, 3, 11, 2)),
        ("context", torch.zeros(2, 4, 10)),
    ],
)
def test_an_input_of_another_length_or_batch_is_refused_by_name(field: str, value: torch.Tensor) -> None:
    video, _ = small_inputs(V20)
    with pytest.raises(ValueError, match=f"{field}: expected shape"):
        dataclasses.replace(video, **{field: value})


@torch.inference_mode()
@pytest.mark.parametrize("absolute", [False, True])
def test_tokens_know_their_places_only_with_absolute_positions(absolute: bool) -> None:
    section = {**V20, "absolute_positions": absolute, "frequencies_precision": "float64"}
    model, (video, audio) = small_model(section), small_inputs(section)
    elsewhere = dataclasses.replace(video, positions=video.positions + torch.tensor([0.0, 64.0, 96.0])[:, None, None])
    here, there = model(video, audio)[0], model(elsewhere, audio)[0]
    assert torch.allclose(here, there, atol=1e-4) is not absolute


@torch.inference_mode()
def test_tables_made_once_give_the_same_velocities() -> None:
    model, (video, audio) = small_model(V23), small_inputs(V23)
    tables = model.rope_tables(video.positions, audio.positions)
    for fresh, reused in zip(model(video, audio), model(video, audio, rope=tables), strict=True):
        assert torch.equal(fresh, reused)


@torch.inference_mode()
@pytest.mark.parametrize("section", [V20, V23], ids=["2.0", "2.3"])
def test_samples_of_a_batch_do_not_touch_each_other(section: dict[str, Any]) -> None:
    model = small_model(section)
    first, second = small_inputs(section), small_inputs(section, kept_tokens=2)
    batch = [
        dataclasses.replace(
            a,
            **{
                name: torch.cat([getattr(a, name), getattr(b, name)])
                for name in ("latents", "timesteps", "sigma", "context")
            },
        )
        for a, b in zip(first, second, strict=True)
    ]
    together = model(*batch)
    for i, alone in enumerate((model(*first), model(*second))):
        for whole, part in zip(together, alone, strict=True):
            torch.testing.assert_close(whole[i : i + 1], part, rtol=0, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("section", [V20, V23], ids=["2.0", "2.3"])
def test_bfloat16_weights_take_float32_inputs_and_stay_near_float32(section: dict[str, Any]) -> None:
    model, (video, audio) = small_model(section), small_inputs(section, kept_tokens=2)
    exact = model(video, audio)
    rounded = model.to(torch.bfloat16)(video, audio)
    for wanted, got in zip(exact, rounded, strict=True):
        assert got.dtype == torch.bfloat16
        assert (got.float() - wanted).norm() < 0.05 * wanted.norm()


@torch.inference_mode()
@pytest.mark.parametrize("section", [V20, V23], ids=["2.0", "2.3"])
def test_all_blocks_of_first_and_later_segments_share_one_compiled_graph(
    section: dict[str, Any], fresh_dynamo: None
) -> None:
    model, counter = small_model(section), CompileCounter()
    first, later = small_inputs(section), small_inputs(section, kept_tokens=2)
    eager = [model(*first), model(*later)]
    for block in model.transformer_blocks:
        block.compile(backend=counter, fullgraph=True, dynamic=False)
    compiled = [model(*first), model(*later)]
    assert counter.frame_count == 1
    for before, after in zip(eager, compiled, strict=True):
        for a, b in zip(before, after, strict=True):
            torch.testing.assert_close(a, b)
