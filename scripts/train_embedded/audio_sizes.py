"""How large the embedded model's audio VAE and vocoder are, in the metadata layout of LTX-2.0's checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# The large models have 8. All of a token's channels have to pass the transformer's audio stream, beside what it knows.
LATENT_CHANNELS = 2
LATENT_BINS = 16


def audio_vae_section(
    channels: int = 16, multipliers: Sequence[int] = (1, 2, 3), res_blocks: int = 1
) -> dict[str, Any]:
    """The ``audio_vae`` section: stereo at 16 kHz, 64 mel bands, 25 latents of 2 x 16 a second with three levels."""
    return {
        "model": {
            "params": {
                "sampling_rate": 16000,
                "ddconfig": {
                    "ch": channels,
                    "ch_mult": list(multipliers),
                    "num_res_blocks": res_blocks,
                    "in_channels": 2,
                    "out_ch": 2,
                    "z_channels": LATENT_CHANNELS,
                    "mel_bins": 64,
                    "resolution": 256,
                    "double_z": True,
                    "norm_type": "pixel",
                    "causality_axis": "height",
                    "attn_resolutions": [],
                    "mid_block_add_attention": False,
                },
            }
        },
        "preprocessing": {
            "stft": {"filter_length": 1024, "win_length": 1024, "hop_length": 160},
            "mel": {"n_mel_channels": 64, "mel_fmin": 0, "mel_fmax": 8000},
        },
    }


def vocoder_section(
    channels: int = 160,
    rates: Sequence[int] = (1, 12, 20),
    kernels: Sequence[int] = (1, 24, 40),
    dilations: Sequence[int] = (1, 3),
) -> dict[str, Any]:
    """The ``vocoder`` section: 240 samples at 24 kHz for each mel frame.

    The first stage stays at the rate of the mel frames: there the network finds what sounds, at next to no cost.
    """
    return {
        "resblock": "1",
        "upsample_initial_channel": channels,
        "upsample_rates": list(rates),
        "upsample_kernel_sizes": list(kernels),
        "output_sampling_rate": 24000,
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [list(dilations)],
        "stereo": True,
    }
