"""Text connectors: from all hidden states of the text encoder to the contexts of the two streams.

State-dict keys: ``video_embeddings_connector.*`` and ``audio_embeddings_connector.*``, which official files put under
``model.diffusion_model.``, and ``text_embedding_projection.aggregate_embed`` (2.0) or ``.video_aggregate_embed`` and
``.audio_aggregate_embed`` (2.3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.attention import Attention, FeedForward, rms_norm
from fastvideo.models.ltx2.linear import Linear
from fastvideo.models.ltx2.metadata_section import MetadataSection
from fastvideo.models.ltx2.rope import FREQUENCY_PRECISIONS, ROPE_TYPES, RopeTable, RopeType, rope_table


@dataclass(frozen=True)
class TextConnectorsConfig:
    """Sizes and variants, named as in the metadata's ``transformer`` section; the defaults are those for a missing key.

    ``caption_channels`` is the text encoder's width. ``num_text_hidden_states`` (embedding and every layer; 49 for
    Gemma 3 12B) is no metadata key: it follows from the text encoder, and shows in the projection's shape.
    ``caption_proj_before_connector`` selects the 2.3 form: RMS per token and layer, one projection a stream.
    """

    caption_channels: int = 3840
    num_text_hidden_states: int = 49
    caption_proj_before_connector: bool = False
    connector_num_attention_heads: int = 30
    connector_attention_head_dim: int = 128
    audio_connector_num_attention_heads: int = 30
    audio_connector_attention_head_dim: int = 128
    connector_num_layers: int = 2
    connector_num_learnable_registers: int = 128
    connector_positional_embedding_max_pos: tuple[int, ...] = (4096,)
    connector_apply_gated_attention: bool = False
    positional_embedding_theta: float = 10000.0
    rope_type: RopeType = "interleaved"
    frequencies_precision: str = "float32"
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        if not self.caption_proj_before_connector and not self.video_dim == self.audio_dim == self.caption_channels:
            raise CheckpointError(
                f"connectors of {self.video_dim} and {self.audio_dim} channels cannot share one projection to"
                f" caption_channels = {self.caption_channels}"
            )

    @classmethod
    def from_metadata(cls, section: Mapping[str, Any]) -> TextConnectorsConfig:
        """From the metadata's ``transformer`` section; unknown keys are ignored, since tensors are loaded strictly.

        A missing audio size is that of the video connector; missing connector gates are as the transformer's. Raises
        CheckpointError naming the key.
        """
        keys = MetadataSection(section, "transformer")
        heads = keys.integer("connector_num_attention_heads", cls.connector_num_attention_heads)
        head_dim = keys.integer("connector_attention_head_dim", cls.connector_attention_head_dim)
        gated = keys.flag("apply_gated_attention", cls.connector_apply_gated_attention)
        extent = keys.integers("connector_positional_embedding_max_pos", cls.connector_positional_embedding_max_pos)
        if len(extent) != 1:
            raise CheckpointError(
                "checkpoint metadata transformer.connector_positional_embedding_max_pos: expected 1 value, got"
                f" {list(extent)}"
            )
        return cls(
            caption_channels=keys.integer("caption_channels", cls.caption_channels),
            caption_proj_before_connector=keys.flag("caption_proj_before_connector", cls.caption_proj_before_connector),
            connector_num_attention_heads=heads,
            connector_attention_head_dim=head_dim,
            audio_connector_num_attention_heads=keys.integer("audio_connector_num_attention_heads", heads),
            audio_connector_attention_head_dim=keys.integer("audio_connector_attention_head_dim", head_dim),
            connector_num_layers=keys.integer("connector_num_layers", cls.connector_num_layers),
            connector_num_learnable_registers=keys.integer(
                "connector_num_learnable_registers", cls.connector_num_learnable_registers
            ),
            connector_positional_embedding_max_pos=extent,
            connector_apply_gated_attention=keys.flag("connector_apply_gated_attention", gated),
            positional_embedding_theta=keys.number("positional_embedding_theta", cls.positional_embedding_theta),
            rope_type=cast(RopeType, keys.choice("rope_type", ROPE_TYPES, cls.rope_type)),
            frequencies_precision=keys.choice("frequencies_precision", FREQUENCY_PRECISIONS, cls.frequencies_precision),
            norm_eps=keys.number("norm_eps", cls.norm_eps),
        )

    @property
    def video_dim(self) -> int:
        """Channels of the video context."""
        return self.connector_num_attention_heads * self.connector_attention_head_dim

    @property
    def audio_dim(self) -> int:
        """Channels of the audio context."""
        return self.audio_connector_num_attention_heads * self.audio_connector_attention_head_dim


class TextConnectors(nn.Module):
    """Normalises and projects hidden states, fills padding with registers, and refines them once a stream."""

    def __init__(self, config: TextConnectorsConfig) -> None:
        super().__init__()
        self.config = config
        self.text_embedding_projection = TextEmbeddingProjection(config)
        self.video_embeddings_connector = EmbeddingsConnector(
            config, config.connector_num_attention_heads, config.connector_attention_head_dim
        )
        self.audio_embeddings_connector = EmbeddingsConnector(
            config, config.audio_connector_num_attention_heads, config.audio_connector_attention_head_dim
        )

    def forward(self, hidden_states: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """hidden_states [B, T, D, L], attention_mask [B, T] (1 = token) -> [B, T, video_dim], [B, T, audio_dim].

        T must be a multiple of the number of registers; every position of the result is meant to be attended to.
        """
        if attention_mask.shape != hidden_states.shape[:2]:
            raise ValueError(
                f"attention_mask: expected shape {tuple(hidden_states.shape[:2])}, got {tuple(attention_mask.shape)}"
            )
        valid = attention_mask.bool()
        video, audio = self.text_embedding_projection(hidden_states, valid)
        return self.video_embeddings_connector(video, valid), self.audio_embeddings_connector(audio, valid)


class TextEmbeddingProjection(nn.Module):
    """All layers of a token, normalised and flattened layer-minor, projected to each connector's width."""

    def __init__(self, config: TextConnectorsConfig) -> None:
        super().__init__()
        features = config.caption_channels * config.num_text_hidden_states
        self.per_stream = config.caption_proj_before_connector
        if self.per_stream:
            self.video_aggregate_embed = Linear(features, config.video_dim)
            self.audio_aggregate_embed = Linear(features, config.audio_dim)
        else:
            self.aggregate_embed = Linear(features, config.caption_channels, bias=False)

    def forward(self, hidden_states: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """hidden_states [B, T, D, L], valid bool [B, T] -> [B, T, video_dim], [B, T, audio_dim]."""
        if not self.per_stream:
            features = normalise_per_layer(hidden_states, valid).flatten(2)
            projected = self.aggregate_embed(features.to(self.aggregate_embed.weight.dtype))
            return projected, projected
        features = normalise_per_token(hidden_states, valid).flatten(2).to(self.video_aggregate_embed.weight.dtype)
        width = hidden_states.shape[2]
        # Keeps the variance of the projections independent of how wide their stream is.
        video_gain = math.sqrt(self.video_aggregate_embed.out_features / width)
        audio_gain = math.sqrt(self.audio_aggregate_embed.out_features / width)
        return self.video_aggregate_embed(features * video_gain), self.audio_aggregate_embed(features * audio_gain)


def normalise_per_layer(hidden_states: Tensor, valid: Tensor, *, eps: float = 1e-6) -> Tensor:
    """2.0: 8 * (x - mean) / (max - min) of each sample and layer over its valid tokens; padding becomes 0.

    hidden_states [B, T, D, L], valid bool [B, T] -> float32 [B, T, D, L].
    """
    padding = ~valid[:, :, None, None]
    x = hidden_states.float()
    count = valid.sum(dim=1).view(-1, 1, 1, 1) * x.shape[2]
    mean = x.masked_fill(padding, 0.0).sum(dim=(1, 2), keepdim=True) / (count + eps)
    low = x.masked_fill(padding, math.inf).amin(dim=(1, 2), keepdim=True)
    high = x.masked_fill(padding, -math.inf).amax(dim=(1, 2), keepdim=True)
    return (8 * (x - mean) / (high - low + eps)).masked_fill(padding, 0.0)


def normalise_per_token(hidden_states: Tensor, valid: Tensor, *, eps: float = 1e-6) -> Tensor:
    """2.3: x / sqrt(mean of x^2 over the channels) of each token and layer; padding becomes 0. Shapes as above."""
    x = hidden_states.float()
    x = x * torch.rsqrt(x.square().mean(dim=2, keepdim=True) + eps)
    return x.masked_fill(~valid[:, :, None, None], 0.0)


class EmbeddingsConnector(nn.Module):
    """A small transformer over the text positions of one stream."""

    def __init__(self, config: TextConnectorsConfig, heads: int, head_dim: int) -> None:
        super().__init__()
        self.config = config
        self.heads = heads
        self.dim = heads * head_dim
        self.learnable_registers = nn.Parameter(torch.zeros(config.connector_num_learnable_registers, self.dim))
        self.transformer_1d_blocks = nn.ModuleList(
            ConnectorBlock(
                self.dim,
                heads,
                head_dim,
                eps=config.norm_eps,
                rope_type=config.rope_type,
                gated=config.connector_apply_gated_attention,
            )
            for _ in range(config.connector_num_layers)
        )

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """features [B, T, dim], valid bool [B, T] -> [B, T, dim]. Raises ValueError if the registers do not tile T."""
        x = fill_with_registers(features, valid, self.learnable_registers)
        rope = self._rope(x)
        for block in self.transformer_1d_blocks:
            x = block(x, rope)
        return rms_norm(x, self.config.norm_eps)

    def _rope(self, x: Tensor) -> RopeTable:
        return rope_table(
            torch.arange(x.shape[1], dtype=torch.float32, device=x.device).view(1, 1, -1),
            dim=self.dim,
            heads=self.heads,
            max_positions=self.config.connector_positional_embedding_max_pos,
            theta=self.config.positional_embedding_theta,
            float64_grid=self.config.frequencies_precision == "float64",
            dtype=x.dtype,
        )


class ConnectorBlock(nn.Module):
    """Pre-norm self-attention with RoPE, then pre-norm feed-forward."""

    def __init__(self, dim: int, heads: int, head_dim: int, *, eps: float, rope_type: RopeType, gated: bool) -> None:
        super().__init__()
        self.eps = eps
        self.attn1 = Attention(dim, heads=heads, head_dim=head_dim, eps=eps, rope_type=rope_type, gated=gated)
        self.ff = FeedForward(dim)

    def forward(self, x: Tensor, rope: RopeTable) -> Tensor:
        """x [B, T, dim] -> [B, T, dim]."""
        x = x + self.attn1(rms_norm(x, self.eps), rope=rope)
        out: Tensor = x + self.ff(rms_norm(x, self.eps))
        return out


def fill_with_registers(features: Tensor, valid: Tensor, registers: Tensor) -> Tensor:
    """Move valid tokens to the front in their order; position p of the rest becomes ``registers[p % len(registers)]``.

    features [B, T, D], valid bool [B, T], registers [R, D] with T a multiple of R (else ValueError) -> [B, T, D].
    """
    length, count = features.shape[1], registers.shape[0]
    if length % count != 0:
        raise ValueError(
            f"text length: expected a multiple of the {count} registers, got {length}; pad the prompt to one"
        )
    order = torch.argsort((~valid).to(torch.uint8), dim=1, stable=True)
    front = torch.gather(features, 1, order.unsqueeze(-1).expand_as(features))
    is_token = torch.arange(length, device=features.device) < valid.sum(dim=1, keepdim=True)
    return torch.where(is_token.unsqueeze(-1), front, registers.to(features.dtype).repeat(length // count, 1))
