"""The embedded model's sections of checkpoint metadata: official keys, small numbers."""

from __future__ import annotations

from typing import Any

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
