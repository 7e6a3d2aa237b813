"""The embedded model's sections of checkpoint metadata: official keys, small numbers."""

from __future__ import annotations

from typing import Any

from scripts.train_embedded.audio_sizes import LATENT_BINS, LATENT_CHANNELS

# The noise levels of the model's steps. A caption of its world says all that there is to see, so a step has nothing to
# choose, only to put right what the one before made of it: it has to see that, and at the large models' levels, which
# are near 1, it would be buried in noise.
SIGMAS = (1.0, 0.45, 0.25)

_RES: list[Any] = ["res_x", {"num_layers": 1}]

# Resampling steps from pixels to latents with the widths after them. Patches of 8 px and two halvings of space make
# 32 px per latent, as in the large models, but no layer works at more than an eighth of the picture's resolution.
_STEPS = ("compress_time", "compress_all", "compress_all")
_ENCODER_WIDTHS = (24, 24, 48, 48)
_DECODER_WIDTHS = (24, 24, 48, 48)


def vae_section(
    *,
    latent_channels: int = 32,
    patch_size: int = 8,
    steps: tuple[str, ...] = _STEPS,
    encoder_widths: tuple[int, ...] = _ENCODER_WIDTHS,
    decoder_widths: tuple[int, ...] = _DECODER_WIDTHS,
) -> dict[str, Any]:
    """The ``vae`` section. Widths run from pixels to latents, one more than there are steps."""
    encoder, decoder = [_RES], [_RES]
    for step, narrow, wide in zip(steps, encoder_widths, encoder_widths[1:], strict=False):
        encoder += [[f"{step}_res", {"multiplier": wide // narrow}], _RES]
    for step, narrow, wide in zip(steps, decoder_widths, decoder_widths[1:], strict=False):
        decoder += [[step, {"multiplier": wide // narrow, "residual": True}], _RES]
    return {
        "dims": 3,
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": latent_channels,
        "patch_size": patch_size,
        "norm_layer": "pixel_norm",
        "latent_log_var": "none",
        "causal_decoder": False,
        "timestep_conditioning": False,
        "encoder_base_channels": encoder_widths[0],
        "decoder_base_channels": decoder_widths[0],
        "encoder_spatial_padding_mode": "zeros",
        "decoder_spatial_padding_mode": "zeros",
        "encoder_blocks": encoder,
        "decoder_blocks": decoder,
    }


def transformer_section(
    *,
    layers: int = 4,
    heads: int = 4,
    head_dim: int = 48,
    audio_heads: int = 2,
    audio_head_dim: int = 48,
    latent_channels: int = 32,
    audio_channels: int = LATENT_CHANNELS * LATENT_BINS,
    text: dict[str, Any],
) -> dict[str, Any]:
    """The ``transformer`` section; ``text`` holds the keys of the connectors.

    Rotations are spread over what one segment spans, a few seconds and 256 px, rather than over the large models'
    twenty seconds and 2048 px: at small widths there are few frequencies, and none may be wasted. Each stream is a few
    times as wide as its latents: a velocity holds all of the noise that came in, so all of it has to pass.
    """
    return {
        "num_layers": layers,
        "in_channels": latent_channels,
        "out_channels": latent_channels,
        "num_attention_heads": heads,
        "attention_head_dim": head_dim,
        "cross_attention_dim": heads * head_dim,
        "audio_in_channels": audio_channels,
        "audio_out_channels": audio_channels,
        "audio_num_attention_heads": audio_heads,
        "audio_attention_head_dim": audio_head_dim,
        "audio_cross_attention_dim": audio_heads * audio_head_dim,
        "positional_embedding_theta": 8.0,
        "positional_embedding_max_pos": [4, 256, 256],
        "audio_positional_embedding_max_pos": [4],
        "positional_embedding_type": "rope",
        "rope_type": "split",
        "frequencies_precision": "float64",
        "use_middle_indices_grid": True,
        "timestep_scale_multiplier": 1000,
        "av_ca_timestep_scale_multiplier": 1000.0,
        "norm_eps": 1e-6,
        "absolute_positions": True,
        "sampling_sigmas": list(SIGMAS),
        **text,
    }
