"""Between latents on their grids and the sequences of tokens that the transformer sees."""

from __future__ import annotations

from torch import Tensor

from fastvideo.api.errors import StateInvalid


def video_to_tokens(latents: Tensor) -> Tensor:
    """[B, C, F, H, W] to [B, F * H * W, C], width fastest."""
    return latents.flatten(2).transpose(1, 2)


def tokens_to_video(tokens: Tensor, frames: int, height: int, width: int) -> Tensor:
    """Inverse of :func:`video_to_tokens`."""
    batch, _, channels = tokens.shape
    return tokens.transpose(1, 2).reshape(batch, channels, frames, height, width)


def audio_to_tokens(latents: Tensor) -> Tensor:
    """[B, C, T, bins] to [B, T, C * bins], bins fastest."""
    return latents.transpose(1, 2).flatten(2)


def tokens_to_audio(tokens: Tensor, channels: int) -> Tensor:
    """Inverse of :func:`audio_to_tokens`."""
    batch, length, _ = tokens.shape
    return tokens.reshape(batch, length, channels, -1).transpose(1, 2).contiguous()


def check_audio_latents(latents: Tensor, channels: int, bins: int) -> None:
    """Raise StateInvalid unless a state's latents are [1, channels, T, bins]."""
    shape = list(latents.shape)
    if len(shape) != 4 or [shape[0], shape[1], shape[3]] != [1, channels, bins]:
        raise StateInvalid(f"audio latents: this model's are [1, {channels}, T, {bins}], got {shape}")
