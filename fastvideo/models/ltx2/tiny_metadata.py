"""The metadata of the tiny checkpoint: official keys and layouts of LTX-2.0 and 2.3, with small numbers."""

from __future__ import annotations

import json
from typing import Any

TINY_VERSIONS = ("2.0", "2.3")
TEXT_WIDTH = 64


def tiny_metadata(version: str = "2.0") -> dict[str, str]:
    """Safetensors metadata of a tiny checkpoint, with the keys of the official files. Raises ValueError."""
    if version not in TINY_VERSIONS:
        raise ValueError(f"expected version {' or '.join(TINY_VERSIONS)}, got {version!r}")
    later = version == "2.3"
    config = {
        "transformer": _transformer_section(later),
        "vae": _vae_section(later),
        "audio_vae": _AUDIO_VAE_SECTION,
        "vocoder": _VOCODER_2_3 if later else _VOCODER_2_0,
        "scheduler": {"num_train_timesteps": 1000, "sampler": "LinearQuadratic", "shift": None},
    }
    return {"config": json.dumps(config), "model_version": version}


def tiny_upsampler_metadata(version: str = "2.0") -> dict[str, str]:
    """Safetensors metadata of the upsampler of a tiny checkpoint."""
    config = {
        "_class_name": "LatentUpsampler",
        "in_channels": 128,
        "mid_channels": 32,
        "num_blocks_per_stage": 1,
        "dims": 3,
        "spatial_upsample": True,
        "temporal_upsample": False,
        "spatial_scale": 2.0,
        "rational_resampler": version == "2.0",
    }
    return {"config": json.dumps(config)}


def _transformer_section(later: bool) -> dict[str, Any]:
    section: dict[str, Any] = {
        "num_layers": 2,
        "in_channels": 128,
        "out_channels": 128,
        "num_attention_heads": 4,
        "attention_head_dim": 32,
        "cross_attention_dim": 128,
        "audio_in_channels": 128,
        "audio_out_channels": 128,
        "audio_num_attention_heads": 4,
        "audio_attention_head_dim": 16,
        "audio_cross_attention_dim": 64,
        "caption_channels": TEXT_WIDTH,
        "positional_embedding_theta": 10000.0,
        "positional_embedding_max_pos": [20, 2048, 2048],
        "audio_positional_embedding_max_pos": [20],
        "positional_embedding_type": "rope",
        "rope_type": "split",
        "frequencies_precision": "float64",
        "use_middle_indices_grid": True,
        "timestep_scale_multiplier": 1000,
        "av_ca_timestep_scale_multiplier": 1000.0,
        "norm_eps": 1e-6,
        "connector_num_layers": 2,
        "connector_num_attention_heads": 4,
        "connector_attention_head_dim": TEXT_WIDTH // 4,
        "connector_num_learnable_registers": 128,
        "connector_positional_embedding_max_pos": [4096],
    }
    if later:
        section |= {
            "apply_gated_attention": True,
            "cross_attention_adaln": True,
            "caption_proj_before_connector": True,
            "connector_attention_head_dim": 32,
            "audio_connector_num_attention_heads": 4,
            "audio_connector_attention_head_dim": 16,
        }
    return section


def _vae_section(later: bool) -> dict[str, Any]:
    def residual(name: str, multiplier: int) -> list[Any]:
        return [f"{name}_res", {"multiplier": multiplier}]

    res: list[Any] = ["res_x", {"num_layers": 1}]
    down = ("compress_space", "compress_time", "compress_all", "compress_all")
    up: tuple[tuple[str, dict[str, Any]], ...]
    if later:
        widths = (2, 2, 2, 1)
        up = (
            ("compress_space", {"multiplier": 2}),
            ("compress_time", {"multiplier": 2}),
            ("compress_all", {"multiplier": 1}),
            ("compress_all", {"multiplier": 2}),
        )
    else:
        widths = (2, 2, 2, 2)
        up = (("compress_all", {"multiplier": 2, "residual": True}),) * 3
    encoder, decoder = [res], [res]
    for name, multiplier in zip(down, widths, strict=True):
        encoder += [residual(name, multiplier), res]
    for name, parameters in up:
        decoder += [[name, parameters], res]
    return {
        "dims": 3,
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 128,
        "patch_size": 4,
        "norm_layer": "pixel_norm",
        "latent_log_var": "uniform",
        "causal_decoder": False,
        "timestep_conditioning": False,
        "encoder_base_channels": 8,
        "decoder_base_channels": 8,
        "encoder_spatial_padding_mode": "zeros",
        "decoder_spatial_padding_mode": "zeros" if later else "reflect",
        "encoder_blocks": encoder,
        "decoder_blocks": decoder,
    }


_AUDIO_VAE_SECTION: dict[str, Any] = {
    "model": {
        "params": {
            "sampling_rate": 16000,
            "ddconfig": {
                "ch": 8,
                "ch_mult": [1, 2, 4],
                "num_res_blocks": 1,
                "in_channels": 2,
                "out_ch": 2,
                "z_channels": 8,
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

_RESBLOCKS: dict[str, Any] = {"resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1, 3, 5]], "stereo": True}
_VOCODER_2_0: dict[str, Any] = {
    "resblock": "1",
    "upsample_initial_channel": 64,
    "upsample_rates": [6, 5, 2, 2, 2],
    "upsample_kernel_sizes": [16, 15, 8, 4, 4],
    "output_sampling_rate": 24000,
    **_RESBLOCKS,
}
_VOCODER_2_3: dict[str, Any] = {
    "vocoder": {
        "resblock": "AMP1",
        "activation": "snakebeta",
        "upsample_initial_channel": 64,
        "upsample_rates": [5, 2, 2, 2, 2, 2],
        "upsample_kernel_sizes": [11, 4, 4, 4, 4, 4],
        "use_bias_at_final": False,
        "apply_final_activation": False,
        **_RESBLOCKS,
    },
    "bwe": {
        "resblock": "AMP1",
        "activation": "snakebeta",
        "upsample_initial_channel": 32,
        "upsample_rates": [6, 5, 2, 2, 2],
        "upsample_kernel_sizes": [12, 11, 4, 4, 4],
        "use_bias_at_final": False,
        "apply_final_activation": False,
        "input_sampling_rate": 16000,
        "output_sampling_rate": 48000,
        "n_fft": 512,
        "hop_length": 80,
        **_RESBLOCKS,
    },
}
