from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.diffusers_names import renamed
from fastvideo.models.ltx2.rope import audio_positions, video_positions
from fastvideo.models.ltx2.transformer import LTX2Transformer, LTX2TransformerConfig, ModalityInput, Perturbation

diffusers = pytest.importorskip("diffusers")

TINY = {
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
    "positional_embedding_max_pos": [20, 2048, 1024],
    "audio_positional_embedding_max_pos": [16],
    "rope_type": "split",
    "frequencies_precision": "float64",
    "av_ca_timestep_scale_multiplier": 1000,
}
V20: dict[str, Any] = TINY
V23: dict[str, Any] = {
    **TINY,
    "caption_proj_before_connector": True,
    "apply_gated_attention": True,
    "cross_attention_adaln": True,
}
VERSIONS = {"2.0": V20, "2.3": V23}
GRID = (3, 2, 3)
AUDIO_LENGTH = 9
SIGMA = torch.tensor([0.9, 0.4])
AUDIO_SIGMA = torch.tensor([0.7, 0.2])


def oracle(config: LTX2TransformerConfig) -> Any:
    return diffusers.LTX2VideoTransformer3DModel(
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        num_attention_heads=config.num_attention_heads,
        attention_head_dim=config.attention_head_dim,
        cross_attention_dim=config.cross_attention_dim,
        gated_attn=config.apply_gated_attention,
        cross_attn_mod=config.cross_attention_adaln,
        audio_in_channels=config.audio_in_channels,
        audio_out_channels=config.audio_out_channels,
        audio_num_attention_heads=config.audio_num_attention_heads,
        audio_attention_head_dim=config.audio_attention_head_dim,
        audio_cross_attention_dim=config.audio_cross_attention_dim,
        audio_gated_attn=config.apply_gated_attention,
        audio_cross_attn_mod=config.cross_attention_adaln,
        pos_embed_max_pos=config.positional_embedding_max_pos[0],
        base_height=config.positional_embedding_max_pos[1],
        base_width=config.positional_embedding_max_pos[2],
        audio_pos_embed_max_pos=config.audio_positional_embedding_max_pos[0],
        num_layers=config.num_layers,
        caption_channels=config.caption_channels,
        rope_double_precision=config.frequencies_precision == "float64",
        cross_attn_timestep_scale_multiplier=config.av_ca_timestep_scale_multiplier,
        rope_type=config.rope_type,
        use_prompt_embeddings=not config.caption_proj_before_connector,
        perturbed_attn=True,
    ).eval()


def conditioned_inputs(config: LTX2TransformerConfig) -> tuple[ModalityInput, ModalityInput]:
    """Two samples with different sigmas per sample and stream, kept tokens, a partly kept one, and a moved picture."""
    generator = torch.Generator().manual_seed(7)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    tokens = math.prod(GRID)
    mask = torch.ones(2, tokens)
    mask[:, : tokens // 3] = 0.0
    mask[1, -1] = 0.5
    audio_mask = torch.ones(2, AUDIO_LENGTH)
    audio_mask[0, :4] = 0.0
    projected = config.caption_proj_before_connector
    video = ModalityInput(
        latents=noise(2, tokens, config.in_channels),
        timesteps=SIGMA[:, None] * mask,
        sigma=SIGMA,
        positions=video_positions(*GRID, fps=24.0, offset_s=40 / 24),
        context=noise(2, 5, config.cross_attention_dim if projected else config.caption_channels),
    )
    audio = ModalityInput(
        latents=noise(2, AUDIO_LENGTH, config.audio_in_channels),
        timesteps=AUDIO_SIGMA[:, None] * audio_mask,
        sigma=AUDIO_SIGMA,
        positions=audio_positions(AUDIO_LENGTH),
        context=noise(2, 5, config.audio_cross_attention_dim if projected else config.caption_channels),
    )
    return video, audio


def unconditioned_inputs(config: LTX2TransformerConfig) -> tuple[ModalityInput, ModalityInput]:
    """Every token of both streams at one sigma, as in a first segment."""
    video, audio = conditioned_inputs(config)
    return (
        dataclasses.replace(video, timesteps=torch.full_like(video.timesteps, 0.725), sigma=torch.full((2,), 0.725)),
        dataclasses.replace(audio, timesteps=torch.full_like(audio.timesteps, 0.725), sigma=torch.full((2,), 0.725)),
    )


def oracle_velocities(
    model: Any, video: ModalityInput, audio: ModalityInput, use_cross_timestep: bool, **perturbation: Any
) -> tuple[Tensor, Tensor]:
    samples = video.latents.shape[0]
    result: tuple[Tensor, Tensor] = model(
        hidden_states=video.latents,
        audio_hidden_states=audio.latents,
        encoder_hidden_states=video.context,
        audio_encoder_hidden_states=audio.context,
        timestep=video.timesteps * 1000,
        audio_timestep=audio.timesteps * 1000,
        sigma=video.sigma * 1000,
        audio_sigma=audio.sigma * 1000,
        video_coords=video.positions.expand(samples, -1, -1, -1),
        audio_coords=audio.positions.expand(samples, -1, -1, -1),
        use_cross_timestep=use_cross_timestep,
        return_dict=False,
        **perturbation,
    )
    return result


@pytest.mark.parametrize("version", ["2.0", "2.3"])
@pytest.mark.parametrize("rope_type", ["split", "interleaved"])
@pytest.mark.parametrize(("av_cross_timestep", "use_cross_timestep"), [("own", False), ("other", True)])
@pytest.mark.parametrize("gate_multiplier", [1, 1000])
def test_velocities_of_conditioned_tokens_are_those_of_diffusers(
    version: str,
    rope_type: str,
    av_cross_timestep: str,
    use_cross_timestep: bool,
    gate_multiplier: int,
    randomise: Any,
) -> None:
    section = {**VERSIONS[version], "rope_type": rope_type, "av_ca_timestep_scale_multiplier": gate_multiplier}
    config = dataclasses.replace(LTX2TransformerConfig.from_metadata(section), av_cross_timestep=av_cross_timestep)
    model = LTX2Transformer(config)
    randomise(model, 1)
    reference = oracle(config)
    reference.load_state_dict(renamed("transformer", model.state_dict()))
    video, audio = conditioned_inputs(config)

    with torch.inference_mode():
        actual = model(video, audio)
        expected = oracle_velocities(reference, video, audio, use_cross_timestep)
    for ours, theirs in zip(actual, expected, strict=True):
        assert theirs.std() > 0.3
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("version", ["2.0", "2.3"])
def test_the_official_gate_equals_diffusers_when_nothing_is_conditioned(version: str, randomise: Any) -> None:
    config = LTX2TransformerConfig.from_metadata(VERSIONS[version])
    assert config.av_cross_timestep == "official"
    model = LTX2Transformer(config)
    randomise(model, 2)
    reference = oracle(config)
    reference.load_state_dict(renamed("transformer", model.state_dict()))
    video, audio = unconditioned_inputs(config)

    with torch.inference_mode():
        actual = model(video, audio)
        expected = oracle_velocities(reference, video, audio, use_cross_timestep=True)
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("version", ["2.0", "2.3"])
def test_attention_across_streams_takes_scale_and_shift_from_the_token_and_its_gate_from_the_other_sigma(
    version: str, randomise: Any
) -> None:
    section = {**VERSIONS[version], "num_layers": 1, "av_ca_timestep_scale_multiplier": 700}
    config = LTX2TransformerConfig.from_metadata(section)
    model = LTX2Transformer(config)
    randomise(model, 3)
    silence_all_but_cross_attention(model)
    video, audio = conditioned_inputs(config)

    with torch.inference_mode():
        actual = model(video, audio)
    expected = HandWrittenCrossAttention(model.state_dict(), config).velocities(video, audio)
    for ours, by_hand in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, by_hand, rtol=0, atol=1e-5)

    for variant in ("own", "other"):
        model.config = dataclasses.replace(config, av_cross_timestep=variant)
        with torch.inference_mode():
            differs = [(a - b).abs().max() > 1e-3 for a, b in zip(model(video, audio), expected, strict=True)]
        assert all(differs), variant


@pytest.mark.parametrize("version", ["2.0", "2.3"])
@pytest.mark.parametrize(
    ("perturbation", "theirs"),
    [
        (Perturbation(value_blocks=frozenset({1})), {"spatio_temporal_guidance_blocks": [1]}),
        (Perturbation(value_blocks=frozenset({0, 1})), {"spatio_temporal_guidance_blocks": [0, 1]}),
        (Perturbation(isolated=True), {"isolate_modalities": True}),
    ],
    ids=["last block", "both blocks", "isolated"],
)
def test_what_guidance_leaves_out_is_what_diffusers_leaves_out(
    version: str, perturbation: Perturbation, theirs: dict[str, Any], randomise: Any
) -> None:
    config = dataclasses.replace(LTX2TransformerConfig.from_metadata(VERSIONS[version]), av_cross_timestep="other")
    model = LTX2Transformer(config)
    randomise(model, 4)
    reference = oracle(config)
    reference.load_state_dict(renamed("transformer", model.state_dict()))
    video, audio = conditioned_inputs(config)
    with torch.inference_mode():
        actual = model(video, audio, perturbation=perturbation)
        whole = model(video, audio)
        expected = oracle_velocities(reference, video, audio, True, **theirs)
    for ours, other, everything in zip(actual, expected, whole, strict=True):
        torch.testing.assert_close(ours, other, rtol=0, atol=1e-5)
        assert (ours - everything).abs().max() > 1e-2


def silence_all_but_cross_attention(model: nn.Module) -> None:
    """Zero what the other sublayers add, so that one block is the attention across the streams alone."""
    others = ("attn1.to_out", "attn2.to_out", "ff.net.2")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(part in name for part in others):
                parameter.zero_()


class HandWrittenCrossAttention:
    """One block's audio-to-video and video-to-audio attention in loops and plain functions, token by token.

    Independent of the module under test: from the tensors by name, the formulas of AdaLN-single and split RoPE.
    """

    def __init__(self, state: dict[str, Tensor], config: LTX2TransformerConfig) -> None:
        self.state = state
        self.heads, self.head_dim = config.audio_num_attention_heads, config.audio_attention_head_dim
        self.gated = config.apply_gated_attention
        self.gate_multiplier = config.av_ca_timestep_scale_multiplier

    def velocities(self, video: ModalityInput, audio: ModalityInput) -> tuple[Tensor, Tensor]:
        pairs = [self.sample(video, audio, i) for i in range(video.latents.shape[0])]
        return torch.stack([v for v, _ in pairs]), torch.stack([a for _, a in pairs])

    def sample(self, video: ModalityInput, audio: ModalityInput, i: int) -> tuple[Tensor, Tensor]:
        x = self.linear("patchify_proj", video.latents[i])
        y = self.linear("audio_patchify_proj", audio.latents[i])
        x_norm, y_norm = self.rms(x), self.rms(y)
        x_table = self.state["transformer_blocks.0.scale_shift_table_a2v_ca_video"]
        y_table = self.state["transformer_blocks.0.scale_shift_table_a2v_ca_audio"]
        x_times = video.positions[0, 0].mean(-1)
        y_times = audio.positions[0, 0].mean(-1)

        def modulated(tokens: Tensor, stream: ModalityInput, kind: str, table: Tensor, first: int) -> Tensor:
            out = []
            for token, t in zip(tokens, stream.timesteps[i], strict=True):
                rows = self.adaln(f"av_ca_{kind}_scale_shift_adaln_single", 1000 * t).view(4, -1) + table[:4]
                out.append(token * (1 + rows[first]) + rows[first + 1])
            return torch.stack(out)

        a2v_gate = self.adaln("av_ca_a2v_gate_adaln_single", self.gate_multiplier * audio.sigma[i]) + x_table[4]
        v2a_gate = self.adaln("av_ca_v2a_gate_adaln_single", self.gate_multiplier * video.sigma[i]) + y_table[4]
        to_video = self.attention(
            "transformer_blocks.0.audio_to_video_attn",
            modulated(x_norm, video, "video", x_table, 0),
            modulated(y_norm, audio, "audio", y_table, 0),
            x_times,
            y_times,
        )
        to_audio = self.attention(
            "transformer_blocks.0.video_to_audio_attn",
            modulated(y_norm, audio, "audio", y_table, 2),
            modulated(x_norm, video, "video", x_table, 2),
            y_times,
            x_times,
        )
        x, y = x + a2v_gate * to_video, y + v2a_gate * to_audio
        return self.output("", x, video.timesteps[i]), self.output("audio_", y, audio.timesteps[i])

    def output(self, prefix: str, x: Tensor, timesteps: Tensor) -> Tensor:
        shift, scale = self.state[f"{prefix}scale_shift_table"]
        embedded = torch.stack([self.embedded(f"{prefix}adaln_single", 1000 * t) for t in timesteps])
        x = (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + 1e-6)
        return self.linear(f"{prefix}proj_out", x * (1 + scale + embedded) + shift + embedded)

    def embedded(self, name: str, timestep: Tensor) -> Tensor:
        angles = timestep * torch.exp(-math.log(10000.0) * torch.arange(128) / 128)
        channels = torch.cat([torch.cos(angles), torch.sin(angles)])
        hidden = self.linear(f"{name}.emb.timestep_embedder.linear_1", channels)
        return self.linear(f"{name}.emb.timestep_embedder.linear_2", hidden * torch.sigmoid(hidden))

    def adaln(self, name: str, timestep: Tensor) -> Tensor:
        embedded = self.embedded(name, timestep)
        return self.linear(f"{name}.linear", embedded * torch.sigmoid(embedded))

    def attention(self, name: str, queries: Tensor, source: Tensor, q_times: Tensor, k_times: Tensor) -> Tensor:
        q = self.rotated(self.rms(self.linear(f"{name}.to_q", queries)) * self.state[f"{name}.q_norm.weight"], q_times)
        k = self.rotated(self.rms(self.linear(f"{name}.to_k", source)) * self.state[f"{name}.k_norm.weight"], k_times)
        v = self.linear(f"{name}.to_v", source)
        heads = []
        for head in range(self.heads):
            channels = slice(head * self.head_dim, (head + 1) * self.head_dim)
            weights = torch.softmax(q[:, channels] @ k[:, channels].T / math.sqrt(self.head_dim), dim=-1)
            heads.append(weights @ v[:, channels])
            if self.gated:
                logits = self.linear(f"{name}.to_gate_logits", queries)[:, head : head + 1]
                heads[-1] = heads[-1] * 2 / (1 + torch.exp(-logits))
        return self.linear(f"{name}.to_out.0", torch.cat(heads, dim=-1))

    def rotated(self, x: Tensor, times: Tensor) -> Tensor:
        half, count = self.head_dim // 2, self.heads * self.head_dim // 2
        out = x.clone()
        for head in range(self.heads):
            for pair in range(half):
                power = (head * half + pair) / (count - 1)
                angle = (2 * times / 20 - 1) * torch.tensor(10000.0**power * math.pi / 2, dtype=torch.float32)
                a, b = head * self.head_dim + pair, head * self.head_dim + half + pair
                out[:, a] = x[:, a] * torch.cos(angle) - x[:, b] * torch.sin(angle)
                out[:, b] = x[:, b] * torch.cos(angle) + x[:, a] * torch.sin(angle)
        return out

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    @staticmethod
    def rms(x: Tensor) -> Tensor:
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6)
