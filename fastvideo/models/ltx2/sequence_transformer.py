"""The transformer with the picture's tokens spread over the ranks of a group; sound and text are the same on each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from fastvideo.models.ltx2.attention import Mix
from fastvideo.models.ltx2.sequence_group import SequenceGroup, check_heads
from fastvideo.models.ltx2.transformer import LTX2Transformer, ModalityInput, Perturbation, RopeTables, TextInput
from fastvideo.models.ltx2.transformer_block import AudioVideoBlock

# A compiled block is left for them: what other processes do is no part of a graph.
_uncompiled = cast("Callable[[Mix], Mix]", torch.compiler.disable)


class SequenceTransformer:
    """One rank's share of a forward pass. Every rank calls the same methods in the same order, with the same values.

    Only two of a block's attentions need the other ranks: of the picture to itself, and of the sound to the picture.
    """

    def __init__(self, transformer: LTX2Transformer, group: SequenceGroup) -> None:
        """Raises ConfigValidationError when the heads cannot be dealt out to the ranks of ``group``."""
        config = transformer.config
        check_heads(group.size, heads=config.num_attention_heads, audio_heads=config.audio_num_attention_heads)
        self.config = config
        self._transformer = transformer
        self._group = group
        # Of the picture, on all ranks together.
        self._tokens = 0
        for block in transformer.transformer_blocks:
            assert isinstance(block, AudioVideoBlock)
            block.attn1.mix = self._picture_to_itself(block.attn1.mix)
            block.video_to_audio_attn.mix = self._sound_to_picture(block.video_to_audio_attn.mix)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the activations."""
        return self._transformer.dtype

    def rope_tables(self, video_positions: Tensor, audio_positions: Tensor) -> RopeTables:
        """Rotations for this rank's share of the picture, and for all of the sound; see ``LTX2Transformer``."""
        return self._transformer.rope_tables(self._group.part(video_positions, 2), audio_positions)

    def text_input(self, video_context: Tensor, audio_context: Tensor, *, keep_keys: bool = False) -> TextInput:
        """See ``LTX2Transformer``; the text is whole on each rank."""
        return self._transformer.text_input(video_context, audio_context, keep_keys=keep_keys)

    def __call__(
        self,
        video: ModalityInput,
        audio: ModalityInput,
        *,
        rope: RopeTables,
        text: TextInput,
        perturbation: Perturbation = Perturbation(),  # noqa: B008  # immutable
    ) -> tuple[Tensor, Tensor]:
        """Velocities of all tokens, on every rank; see ``LTX2Transformer``."""
        self._tokens = video.latents.shape[1]
        per_token = video.timesteps.shape[1] == self._tokens and self._tokens > 1
        own = replace(
            video,
            latents=self._group.part(video.latents, 1),
            timesteps=self._group.part(video.timesteps, 1) if per_token else video.timesteps,
            positions=self._group.part(video.positions, 2),
        )
        picture, sound = self._transformer(own, audio, rope=rope, text=text, perturbation=perturbation)
        return self._group.whole(picture, 1, self._tokens), sound

    def _picture_to_itself(self, attend: Mix) -> Mix:
        def mix(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            heads = self._group.to_heads(torch.stack([q, k, v]), self._tokens)
            return self._group.to_tokens(attend(*heads), q.shape[-2])

        return _uncompiled(mix)

    def _sound_to_picture(self, attend: Mix) -> Mix:
        def mix(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self._group.to_heads(torch.stack([k, v]), self._tokens)
            return self._group.whole(attend(self._group.own_heads(q), keys, values), -3, q.shape[-3])

        return _uncompiled(mix)
