"""The LTX-2 diffusion transformer for picture and sound, versions 2.0 and 2.3.

State-dict keys are the official ones after ``model.diffusion_model.`` (without the two ``*_embeddings_connector``):
``patchify_proj``, ``adaln_single``, ``transformer_blocks.N.attn1.to_q``, ``audio_...``, ``av_ca_...``, ``proj_out``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.adaln import AdaLayerNormSingle, Modulation, Timesteps, modulate
from fastvideo.models.ltx2.linear import Linear
from fastvideo.models.ltx2.metadata_section import MetadataSection
from fastvideo.models.ltx2.rope import FREQUENCY_PRECISIONS, ROPE_TYPES, RopeTable, RopeType, rope_table
from fastvideo.models.ltx2.transformer_block import AudioVideoBlock, StreamConditions, TextKeys

CrossTimestep = Literal["official", "own", "other"]

# Settings that change the arithmetic and have one value in every published LTX-2 file.
_FIXED: dict[str, object] = {
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "av_cross_ada_norm": True,
    "norm_elementwise_affine": False,
    "positional_embedding_type": "rope",
    "qk_norm": "rms_norm",
    "standardization_norm": "rms_norm",
    "use_audio_video_cross_attention": True,
    "use_middle_indices_grid": True,
}


@dataclass(frozen=True)
class LTX2TransformerConfig:
    """Sizes and variants, named as in the metadata; the defaults are the official code's for a missing key.

    ``av_cross_timestep`` is ours: which timestep modulates attention across the streams. "official": each token's own
    one for scale and shift, the other stream's sigma for the gate. "own" and "other" use that one for both.
    ``absolute_positions`` is ours: tokens know their places, where RoPE tells only how far apart two are. Large models
    find the borders of a clip by themselves; a small one spends half of its layers on that.
    ``sampling_sigmas`` is ours: the noise levels of a distilled model's steps, where they are not the official list.
    """

    num_layers: int = 48
    in_channels: int = 128
    out_channels: int = 128
    num_attention_heads: int = 32
    attention_head_dim: int = 128
    cross_attention_dim: int = 4096
    audio_in_channels: int = 128
    audio_out_channels: int = 128
    audio_num_attention_heads: int = 32
    audio_attention_head_dim: int = 64
    audio_cross_attention_dim: int = 2048
    caption_channels: int = 3840
    caption_proj_before_connector: bool = False
    positional_embedding_theta: float = 10000.0
    positional_embedding_max_pos: tuple[int, ...] = (20, 2048, 2048)
    audio_positional_embedding_max_pos: tuple[int, ...] = (20,)
    rope_type: RopeType = "interleaved"
    frequencies_precision: str = "float32"
    timestep_scale_multiplier: float = 1000.0
    av_ca_timestep_scale_multiplier: float = 1.0
    apply_gated_attention: bool = False
    cross_attention_adaln: bool = False
    norm_eps: float = 1e-6
    av_cross_timestep: CrossTimestep = "official"
    absolute_positions: bool = False
    sampling_sigmas: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.caption_proj_before_connector:
            for key, width, context in (
                ("cross_attention_dim", self.dim, self.cross_attention_dim),
                ("audio_cross_attention_dim", self.audio_dim, self.audio_cross_attention_dim),
            ):
                if width != context:
                    raise CheckpointError(f"{key}: captions are projected to {width} channels, but it is {context}")

    @classmethod
    def from_metadata(cls, section: Mapping[str, Any]) -> LTX2TransformerConfig:
        """From the metadata's ``transformer`` section.

        Keys that would change the arithmetic but no tensor are checked; other unknown keys are ignored, because what
        they could change shows in the tensors, which are loaded strictly. Raises CheckpointError naming the key.
        """
        keys = MetadataSection(section, "transformer")
        for key, value in _FIXED.items():
            keys.require(key, value)
        extent = keys.integers("positional_embedding_max_pos", cls.positional_embedding_max_pos)
        audio_extent = keys.integers("audio_positional_embedding_max_pos", cls.audio_positional_embedding_max_pos)
        if len(extent) != 3 or len(audio_extent) != 1:
            raise CheckpointError(
                "checkpoint metadata transformer: expected 3 values in positional_embedding_max_pos and 1 in"
                f" audio_positional_embedding_max_pos, got {extent} and {audio_extent}"
            )
        return cls(
            num_layers=keys.integer("num_layers", cls.num_layers),
            in_channels=keys.integer("in_channels", cls.in_channels),
            out_channels=keys.integer("out_channels", cls.out_channels),
            num_attention_heads=keys.integer("num_attention_heads", cls.num_attention_heads),
            attention_head_dim=keys.integer("attention_head_dim", cls.attention_head_dim),
            cross_attention_dim=keys.integer("cross_attention_dim", cls.cross_attention_dim),
            audio_in_channels=keys.integer("audio_in_channels", cls.audio_in_channels),
            audio_out_channels=keys.integer("audio_out_channels", cls.audio_out_channels),
            audio_num_attention_heads=keys.integer("audio_num_attention_heads", cls.audio_num_attention_heads),
            audio_attention_head_dim=keys.integer("audio_attention_head_dim", cls.audio_attention_head_dim),
            audio_cross_attention_dim=keys.integer("audio_cross_attention_dim", cls.audio_cross_attention_dim),
            caption_channels=keys.integer("caption_channels", cls.caption_channels),
            caption_proj_before_connector=keys.flag("caption_proj_before_connector", cls.caption_proj_before_connector),
            positional_embedding_theta=keys.number("positional_embedding_theta", cls.positional_embedding_theta),
            positional_embedding_max_pos=extent,
            audio_positional_embedding_max_pos=audio_extent,
            rope_type=cast(RopeType, keys.choice("rope_type", ROPE_TYPES, cls.rope_type)),
            frequencies_precision=keys.choice("frequencies_precision", FREQUENCY_PRECISIONS, cls.frequencies_precision),
            timestep_scale_multiplier=keys.number("timestep_scale_multiplier", cls.timestep_scale_multiplier),
            av_ca_timestep_scale_multiplier=keys.number(
                "av_ca_timestep_scale_multiplier", cls.av_ca_timestep_scale_multiplier
            ),
            apply_gated_attention=keys.flag("apply_gated_attention", cls.apply_gated_attention),
            cross_attention_adaln=keys.flag("cross_attention_adaln", cls.cross_attention_adaln),
            norm_eps=keys.number("norm_eps", cls.norm_eps),
            absolute_positions=keys.flag("absolute_positions", cls.absolute_positions),
            sampling_sigmas=keys.noise_levels("sampling_sigmas"),
        )

    @property
    def dim(self) -> int:
        """Width of the video stream."""
        return self.num_attention_heads * self.attention_head_dim

    @property
    def perturbed_block(self) -> int:
        """The block that spatio-temporal guidance perturbs: 28 in 2.3, 29 in 2.0, or a smaller model's last one."""
        return min(28 if self.cross_attention_adaln else 29, self.num_layers - 1)

    @property
    def audio_dim(self) -> int:
        """Width of the audio stream and of the attention across the streams."""
        return self.audio_num_attention_heads * self.audio_attention_head_dim


@dataclass(frozen=True)
class ModalityInput:
    """One stream's input: N tokens of B samples.

    latents [B, N, C]; timesteps [B, N] = sigma * mask in 0..1 (0 keeps a token), or [B, 1] where it is the same for all
    tokens, which saves looking rows up for each; sigma [B], 0 for a frozen stream;
    positions [1 or B, axes, N, 2] (see rope.py); context [B, S, D], every position of which is attended to, or None
    where the forward pass gets the text in another form.
    """

    latents: Tensor
    timesteps: Tensor
    sigma: Tensor
    positions: Tensor
    context: Tensor | None

    def __post_init__(self) -> None:
        batch, tokens, _ = self.latents.shape
        if self.timesteps.shape not in ((batch, tokens), (batch, 1)):
            raise ValueError(
                f"timesteps: expected shape {(batch, tokens)} or {(batch, 1)}, got {tuple(self.timesteps.shape)}"
            )
        if self.sigma.shape != (batch,):
            raise ValueError(f"sigma: expected shape {(batch,)}, got {tuple(self.sigma.shape)}")
        if self.positions.ndim != 4 or self.positions.shape[0] not in (1, batch) or self.positions.shape[2] != tokens:
            raise ValueError(
                f"positions: expected shape ({batch} or 1, axes, {tokens}, 2), got {tuple(self.positions.shape)}"
            )
        if self.context is not None and (self.context.ndim != 3 or self.context.shape[0] != batch):
            raise ValueError(f"context: expected shape ({batch}, S, D), got {tuple(self.context.shape)}")


class RopeTables(NamedTuple):
    """Rotations for self-attention of each stream, and for attention across them, where only time counts."""

    video: RopeTable
    audio: RopeTable
    video_cross: RopeTable
    audio_cross: RopeTable


class TextInput(NamedTuple):
    """A prompt as the blocks read it: contexts [B, S, D] at the width of picture and sound, and for each block its keys
    and values, where these are kept."""

    video: Tensor
    audio: Tensor
    keys: tuple[TextKeys, ...] | None = None


class Perturbation(NamedTuple):
    """What a forward pass leaves out, so that guidance has something weaker to move away from.

    ``value_blocks``: blocks in which self-attention of both streams is its values alone; ``isolated``: picture and
    sound do not attend to each other.
    """

    value_blocks: frozenset[int] = frozenset()
    isolated: bool = False


class LTX2Transformer(nn.Module):
    """Predicts the velocity of picture and sound together; x0 = x_t - t * velocity with each token's own timestep t."""

    def __init__(self, config: LTX2TransformerConfig) -> None:
        super().__init__()
        self.config = config
        dim, audio_dim = config.dim, config.audio_dim
        rows = 9 if config.cross_attention_adaln else 6

        self.patchify_proj = Linear(config.in_channels, dim)
        self.audio_patchify_proj = Linear(config.audio_in_channels, audio_dim)

        # From the cosines and sines of a token's RoPE angles.
        self.position_proj = Linear(dim, dim) if config.absolute_positions else None
        self.audio_position_proj = Linear(audio_dim, audio_dim) if config.absolute_positions else None

        self.adaln_single = AdaLayerNormSingle(dim, rows)
        self.audio_adaln_single = AdaLayerNormSingle(audio_dim, rows)
        self.prompt_adaln_single = AdaLayerNormSingle(dim, 2) if config.cross_attention_adaln else None
        self.audio_prompt_adaln_single = AdaLayerNormSingle(audio_dim, 2) if config.cross_attention_adaln else None
        self.av_ca_video_scale_shift_adaln_single = AdaLayerNormSingle(dim, 4)
        self.av_ca_audio_scale_shift_adaln_single = AdaLayerNormSingle(audio_dim, 4)
        self.av_ca_a2v_gate_adaln_single = AdaLayerNormSingle(dim, 1)
        self.av_ca_v2a_gate_adaln_single = AdaLayerNormSingle(audio_dim, 1)

        project_captions = not config.caption_proj_before_connector
        self.caption_projection = CaptionProjection(config.caption_channels, dim) if project_captions else None
        self.audio_caption_projection = (
            CaptionProjection(config.caption_channels, audio_dim) if project_captions else None
        )

        self.transformer_blocks = nn.ModuleList(
            AudioVideoBlock(
                dim,
                config.num_attention_heads,
                config.attention_head_dim,
                config.cross_attention_dim,
                audio_dim,
                config.audio_num_attention_heads,
                config.audio_attention_head_dim,
                config.audio_cross_attention_dim,
                eps=config.norm_eps,
                rope_type=config.rope_type,
                gated=config.apply_gated_attention,
                text_modulation=config.cross_attention_adaln,
            )
            for _ in range(config.num_layers)
        )

        self.scale_shift_table = nn.Parameter(torch.zeros(2, dim))
        self.audio_scale_shift_table = nn.Parameter(torch.zeros(2, audio_dim))
        self.proj_out = Linear(dim, config.out_channels)
        self.audio_proj_out = Linear(audio_dim, config.audio_out_channels)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the activations: that of the input projection, which is never quantised."""
        return self.patchify_proj.weight.dtype

    def rope_tables(self, video_positions: Tensor, audio_positions: Tensor) -> RopeTables:
        """Rotations for positions [B, axes, N, 2]; they hold for all steps of a segment, so make them once."""
        config = self.config
        video, audio = video_positions.mean(-1), audio_positions.mean(-1)
        extent, audio_extent = config.positional_embedding_max_pos, config.audio_positional_embedding_max_pos
        shared_extent = (max(extent[0], audio_extent[0]),)
        audio_heads = config.audio_num_attention_heads
        return RopeTables(
            self._rope_table(video, config.dim, config.num_attention_heads, extent),
            self._rope_table(audio, config.audio_dim, audio_heads, audio_extent),
            self._rope_table(video[:, :1], config.audio_dim, audio_heads, shared_extent),
            self._rope_table(audio[:, :1], config.audio_dim, audio_heads, shared_extent),
        )

    def text_input(self, video_context: Tensor, audio_context: Tensor, *, keep_keys: bool = False) -> TextInput:
        """Contexts [B, S, D] in the form that holds for all steps of a segment. With ``keep_keys`` the blocks' keys and
        values are made once for all of them, unless the model modulates the text by the noise level (2.3).

        It holds as long as the weights do.
        """
        video = self._projected(self.caption_projection, video_context)
        audio = self._projected(self.audio_caption_projection, audio_context)
        if not keep_keys or self.config.cross_attention_adaln:
            return TextInput(video, audio)
        blocks = (cast(AudioVideoBlock, block) for block in self.transformer_blocks)
        return TextInput(video, audio, tuple(block.text_keys(video, audio) for block in blocks))

    def forward(
        self,
        video: ModalityInput,
        audio: ModalityInput,
        *,
        rope: RopeTables | None = None,
        text: TextInput | None = None,
        perturbation: Perturbation = Perturbation(),  # noqa: B008  # immutable
    ) -> tuple[Tensor, Tensor]:
        """Velocities [B, N, out_channels] and [B, M, audio_out_channels], in the type of the weights.

        Without ``text`` the contexts of both inputs are read.
        """
        if text is None:
            if video.context is None or audio.context is None:
                raise ValueError("expected contexts in both inputs, or text; got neither")
            text = self.text_input(video.context, audio.context)
        tables = self.rope_tables(video.positions, audio.positions) if rope is None else rope
        video_timesteps, audio_timesteps = Timesteps.per_token(video.timesteps), Timesteps.per_token(audio.timesteps)

        video_modulation, video_embedded = self._modulation(self.adaln_single, video_timesteps)
        audio_modulation, audio_embedded = self._modulation(self.audio_adaln_single, audio_timesteps)
        video_cross, a2v_gate = self._cross_modulation(
            self.av_ca_video_scale_shift_adaln_single, self.av_ca_a2v_gate_adaln_single, video_timesteps, audio.sigma
        )
        audio_cross, v2a_gate = self._cross_modulation(
            self.av_ca_audio_scale_shift_adaln_single, self.av_ca_v2a_gate_adaln_single, audio_timesteps, video.sigma
        )
        video_conditions = StreamConditions(
            context=text.video,
            modulation=video_modulation,
            prompt=self._prompt_modulation(self.prompt_adaln_single, video.sigma),
            cross_scale_shift=video_cross,
            cross_gate=a2v_gate,
            rope=tables.video,
            cross_rope=tables.video_cross,
        )
        audio_conditions = StreamConditions(
            context=text.audio,
            modulation=audio_modulation,
            prompt=self._prompt_modulation(self.audio_prompt_adaln_single, audio.sigma),
            cross_scale_shift=audio_cross,
            cross_gate=v2a_gate,
            rope=tables.audio,
            cross_rope=tables.audio_cross,
        )

        x = self.patchify_proj(video.latents.to(self.dtype))
        y = self.audio_patchify_proj(audio.latents.to(self.dtype))
        if self.position_proj is not None and self.audio_position_proj is not None:
            x = x + self.position_proj(_angles(tables.video))
            y = y + self.audio_position_proj(_angles(tables.audio))
        for index, block in enumerate(self.transformer_blocks):
            x, y = block(
                x,
                y,
                video_conditions,
                audio_conditions,
                text=None if text.keys is None else text.keys[index],
                values_only=index in perturbation.value_blocks,
                isolated=perturbation.isolated,
            )
        return (
            self.proj_out(self._output_modulated(x, video_embedded, self.scale_shift_table)),
            self.audio_proj_out(self._output_modulated(y, audio_embedded, self.audio_scale_shift_table)),
        )

    def _modulation(self, adaln: AdaLayerNormSingle, timesteps: Timesteps) -> tuple[Modulation, Modulation]:
        """A stream's modulation rows, and its timestep embedding as the one row behind the output's shift and scale."""
        rows, embedded = adaln(timesteps, self.config.timestep_scale_multiplier)
        return rows, Modulation(embedded.unsqueeze(1), timesteps.place)

    def _cross_modulation(
        self, scale_shift: AdaLayerNormSingle, gate: AdaLayerNormSingle, own: Timesteps, other_sigma: Tensor
    ) -> tuple[Modulation, Modulation]:
        """Rows for attention across the streams: what a stream takes in (gate) follows the noise of the other."""
        other = Timesteps.per_sample(other_sigma)
        variant = self.config.av_cross_timestep
        scale_shift_rows, _ = scale_shift(other if variant == "other" else own, self.config.timestep_scale_multiplier)
        gate_rows, _ = gate(own if variant == "own" else other, self.config.av_ca_timestep_scale_multiplier)
        return scale_shift_rows, gate_rows

    def _prompt_modulation(self, adaln: AdaLayerNormSingle | None, sigma: Tensor) -> Modulation | None:
        if adaln is None:
            return None
        rows: Modulation = adaln(Timesteps.per_sample(sigma), self.config.timestep_scale_multiplier)[0]
        return rows

    def _projected(self, projection: CaptionProjection | None, context: Tensor) -> Tensor:
        context = context.to(self.dtype)
        if projection is None:
            return context
        out: Tensor = projection(context)
        return out

    def _output_modulated(self, x: Tensor, embedded: Modulation, table: Tensor) -> Tensor:
        shift, scale = Modulation(embedded.rows.expand(-1, 2, -1), embedded.place).select(table, 0, 2)
        return modulate(F.layer_norm(x, (x.shape[-1],), eps=self.config.norm_eps), shift, scale)

    def _rope_table(self, middles: Tensor, dim: int, heads: int, extent: tuple[int, ...]) -> RopeTable:
        return rope_table(
            middles,
            dim=dim,
            heads=heads,
            max_positions=extent,
            theta=self.config.positional_embedding_theta,
            float64_grid=self.config.frequencies_precision == "float64",
            dtype=self.dtype,
        )


def _angles(table: RopeTable) -> Tensor:
    """Cosines and sines of all heads in one row a token: [B, N, dim]."""
    return torch.cat(table, dim=-1).transpose(1, 2).flatten(2)


class CaptionProjection(nn.Module):
    """Text features to a stream's width (2.0): Linear, GELU (tanh form), Linear."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.linear_1 = Linear(channels, dim)
        self.linear_2 = Linear(dim, dim)

    def forward(self, context: Tensor) -> Tensor:
        out: Tensor = self.linear_2(self.linear_1.with_gelu(context))
        return out
