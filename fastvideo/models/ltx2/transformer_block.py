"""One block of the LTX-2 transformer: two streams, picture and sound, attending to self, text and each other."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from fastvideo.models.ltx2.adaln import Modulation, gated, modulate
from fastvideo.models.ltx2.attention import Attention, FeedForward, KeysValues, rms_norm
from fastvideo.models.ltx2.rope import RopeTable, RopeType


class StreamConditions(NamedTuple):
    """What is the same for one stream in every block of one forward pass.

    ``modulation`` has 6 rows: shift, scale, gate of self-attention, then of the feed-forward; with text modulation
    (2.3) 3 more for the text queries, and ``prompt`` has shift, scale of the text itself. ``cross_scale_shift`` has 4
    rows: scale, shift for audio-to-video, then for video-to-audio. ``cross_gate`` has 1.
    """

    context: Tensor
    modulation: Modulation
    prompt: Modulation | None
    cross_scale_shift: Modulation
    cross_gate: Modulation
    rope: RopeTable
    cross_rope: RopeTable


class TextKeys(NamedTuple):
    """What one block's text attentions of picture and sound look at."""

    video: KeysValues
    audio: KeysValues


class AudioVideoBlock(nn.Module):
    """Self-attention and text attention per stream, attention across the streams, feed-forward per stream."""

    def __init__(
        self,
        dim: int,
        heads: int,
        head_dim: int,
        context_dim: int,
        audio_dim: int,
        audio_heads: int,
        audio_head_dim: int,
        audio_context_dim: int,
        *,
        eps: float,
        rope_type: RopeType,
        gated: bool,
        text_modulation: bool,
    ) -> None:
        super().__init__()
        self.eps = eps

        def attention(width: int, heads: int, head_dim: int, context_dim: int | None) -> Attention:
            return Attention(
                width,
                heads=heads,
                head_dim=head_dim,
                context_dim=context_dim,
                eps=eps,
                rope_type=rope_type,
                gated=gated,
            )

        self.attn1 = attention(dim, heads, head_dim, None)
        self.attn2 = attention(dim, heads, head_dim, context_dim)
        self.ff = FeedForward(dim)
        self.audio_attn1 = attention(audio_dim, audio_heads, audio_head_dim, None)
        self.audio_attn2 = attention(audio_dim, audio_heads, audio_head_dim, audio_context_dim)
        self.audio_ff = FeedForward(audio_dim)
        self.audio_to_video_attn = attention(dim, audio_heads, audio_head_dim, audio_dim)
        self.video_to_audio_attn = attention(audio_dim, audio_heads, audio_head_dim, dim)

        rows = 9 if text_modulation else 6
        self.scale_shift_table = nn.Parameter(torch.zeros(rows, dim))
        self.audio_scale_shift_table = nn.Parameter(torch.zeros(rows, audio_dim))
        self.scale_shift_table_a2v_ca_video = nn.Parameter(torch.zeros(5, dim))
        self.scale_shift_table_a2v_ca_audio = nn.Parameter(torch.zeros(5, audio_dim))
        self.prompt_scale_shift_table = nn.Parameter(torch.zeros(2, dim)) if text_modulation else None
        self.audio_prompt_scale_shift_table = nn.Parameter(torch.zeros(2, audio_dim)) if text_modulation else None

    def forward(
        self,
        video: Tensor,
        audio: Tensor,
        video_conditions: StreamConditions,
        audio_conditions: StreamConditions,
        *,
        text: TextKeys | None = None,
        values_only: bool = False,
        isolated: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """video [B, N, dim], audio [B, M, audio_dim] -> the same shapes.

        ``text`` is what :meth:`text_keys` gave for the conditions' contexts. See ``Perturbation`` for the flags.
        """
        video = self._attend_to_self(video, video_conditions, self.attn1, self.scale_shift_table, values_only)
        video = self._attend_to_text(
            video,
            video_conditions,
            self.attn2,
            self.scale_shift_table,
            self.prompt_scale_shift_table,
            None if text is None else text.video,
        )
        audio = self._attend_to_self(
            audio, audio_conditions, self.audio_attn1, self.audio_scale_shift_table, values_only
        )
        audio = self._attend_to_text(
            audio,
            audio_conditions,
            self.audio_attn2,
            self.audio_scale_shift_table,
            self.audio_prompt_scale_shift_table,
            None if text is None else text.audio,
        )
        if not isolated:
            video, audio = self._attend_to_each_other(video, audio, video_conditions, audio_conditions)
        video = self._feed_forward(video, video_conditions, self.ff, self.scale_shift_table)
        audio = self._feed_forward(audio, audio_conditions, self.audio_ff, self.audio_scale_shift_table)
        return video, audio

    def text_keys(self, video_context: Tensor, audio_context: Tensor) -> TextKeys:
        """For projected contexts [B, S, D], of a model that does not modulate the text (2.0): the same in all steps."""
        return TextKeys(self.attn2.keys_values(video_context), self.audio_attn2.keys_values(audio_context))

    def _attend_to_self(
        self, x: Tensor, conditions: StreamConditions, attention: Attention, table: Tensor, values_only: bool
    ) -> Tensor:
        shift, scale, gate = conditions.modulation.select(table, 0, 3)
        queries = modulate(rms_norm(x, self.eps), shift, scale)
        return gated(x, gate, attention(queries, rope=conditions.rope, values_only=values_only))

    def _attend_to_text(
        self,
        x: Tensor,
        conditions: StreamConditions,
        attention: Attention,
        table: Tensor,
        prompt_table: Tensor | None,
        keys_values: KeysValues | None,
    ) -> Tensor:
        queries = rms_norm(x, self.eps)
        if prompt_table is None or conditions.prompt is None:
            return x + cast(Tensor, attention(queries, conditions.context, keys_values=keys_values))
        shift, scale, gate = conditions.modulation.select(table, 6, 9)
        context_shift, context_scale = conditions.prompt.select(prompt_table, 0, 2)
        context = modulate(conditions.context, context_shift, context_scale)
        return gated(x, gate, attention(modulate(queries, shift, scale), context))

    def _attend_to_each_other(
        self, video: Tensor, audio: Tensor, video_conditions: StreamConditions, audio_conditions: StreamConditions
    ) -> tuple[Tensor, Tensor]:
        # Both directions read the streams as they are here; neither sees what the other adds.
        video_norm, audio_norm = rms_norm(video, self.eps), rms_norm(audio, self.eps)

        video_scale, video_shift = video_conditions.cross_scale_shift.select(self.scale_shift_table_a2v_ca_video, 0, 2)
        audio_scale, audio_shift = audio_conditions.cross_scale_shift.select(self.scale_shift_table_a2v_ca_audio, 0, 2)
        (video_gate,) = video_conditions.cross_gate.select(self.scale_shift_table_a2v_ca_video[4:], 0, 1)
        to_video = self.audio_to_video_attn(
            modulate(video_norm, video_shift, video_scale),
            modulate(audio_norm, audio_shift, audio_scale),
            rope=video_conditions.cross_rope,
            context_rope=audio_conditions.cross_rope,
        )

        video_scale, video_shift = video_conditions.cross_scale_shift.select(self.scale_shift_table_a2v_ca_video, 2, 4)
        audio_scale, audio_shift = audio_conditions.cross_scale_shift.select(self.scale_shift_table_a2v_ca_audio, 2, 4)
        (audio_gate,) = audio_conditions.cross_gate.select(self.scale_shift_table_a2v_ca_audio[4:], 0, 1)
        to_audio = self.video_to_audio_attn(
            modulate(audio_norm, audio_shift, audio_scale),
            modulate(video_norm, video_shift, video_scale),
            rope=audio_conditions.cross_rope,
            context_rope=video_conditions.cross_rope,
        )
        return gated(video, video_gate, to_video), gated(audio, audio_gate, to_audio)

    def _feed_forward(self, x: Tensor, conditions: StreamConditions, ff: FeedForward, table: Tensor) -> Tensor:
        shift, scale, gate = conditions.modulation.select(table, 3, 6)
        return gated(x, gate, ff(modulate(rms_norm(x, self.eps), shift, scale)))
