"""A small random LTX-2 checkpoint in the official layout, with its Gemma 3 and tokenizer: for tests and demos.

It has every part and every kind of tensor of the real one, of version 2.0 or 2.3, and makes moving, coloured pictures
and audible sound that depend on the prompt, though they mean nothing. It decodes faster than playback on a laptop.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fastvideo.models.ltx2.audio_vae import AudioVAE
from fastvideo.models.ltx2.config import LTX2Config
from fastvideo.models.ltx2.connectors import TextConnectors
from fastvideo.models.ltx2.loader import TEXT_ENCODER_FOLDER, official_key
from fastvideo.models.ltx2.text_encoder import without_progress_bar
from fastvideo.models.ltx2.transformer import LTX2Transformer
from fastvideo.models.ltx2.video_vae import VideoVAE
from fastvideo.models.ltx2.vocoder import Vocoder

TINY_VERSIONS = ("2.0", "2.3")
CHECKPOINT_NAME = "tiny-ltx2.safetensors"
# A change of the builder's output gets a new number, and with it a new folder in the cache.
TINY_REVISION = 1

_TEXT_WIDTH = 64
_TEXT_LAYERS = 2
_TEXT_TOKENS = 512
_PIXEL_DEVIATION = 0.45
_SOUND_DEVIATION = 0.08


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


def write_tiny_checkpoint(folder: Path, *, seed: int = 0, version: str = "2.0") -> Path:
    """Writes the checkpoint and its ``text_encoder`` folder into ``folder``; returns the checkpoint's path.

    The same seed and version give the same tensors.
    """
    metadata = tiny_metadata(version)
    config = LTX2Config.from_metadata(metadata)
    generator = torch.Generator().manual_seed(seed)
    video_vae, audio_vae, vocoder = VideoVAE(config.video_vae), AudioVAE(config.audio_vae), Vocoder(config.vocoder)
    parts: dict[str, nn.Module] = {
        "connectors": TextConnectors(replace(config.connectors, num_text_hidden_states=_TEXT_LAYERS + 1)),
        "transformer": LTX2Transformer(config.transformer),
        "video_vae": video_vae,
        "audio_vae": audio_vae,
        "vocoder": vocoder,
    }
    with torch.no_grad():
        for module in parts.values():
            _randomise(module.eval(), generator)
        _level_picture(video_vae, generator)
        _level_sound(audio_vae, vocoder, generator)
    tensors = {
        official_key(part, name): tensor.to(torch.bfloat16).contiguous()
        for part, module in parts.items()
        for name, tensor in module.state_dict().items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / CHECKPOINT_NAME
    save_file(tensors, str(file), metadata=metadata)
    _write_text_encoder(folder / TEXT_ENCODER_FOLDER, generator)
    return file


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
        "caption_channels": _TEXT_WIDTH,
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
        "connector_attention_head_dim": _TEXT_WIDTH // 4,
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


def _randomise(module: nn.Module, generator: torch.Generator) -> None:
    """Weights that keep the variance of what passes through; norms near 1, tables and registers of visible size."""
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith("norm.weight"):
            parameter.copy_(1 + 0.1 * noise)
        elif name.endswith("registers"):
            parameter.copy_(noise)
        elif "scale_shift_table" in name:
            parameter.copy_(0.3 * noise)
        elif parameter.ndim >= 2:
            parameter.copy_(noise / parameter[0].numel() ** 0.5)
        else:
            parameter.copy_(0.05 * noise)


def _level_picture(vae: VideoVAE, generator: torch.Generator) -> None:
    """Scale the decoder's output to fill the range from black to white without clipping much of it."""
    latents = torch.randn((1, vae.latent_channels, 4, 6, 6), generator=generator)
    last = vae.decoder.conv_out
    _scale_output(last.conv, _output_of(last, lambda: vae.decode(latents)), _PIXEL_DEVIATION)


def _level_sound(audio_vae: AudioVAE, vocoder: Vocoder, generator: torch.Generator) -> None:
    """Scale the mel frames to those of ordinary sound, and what the vocoder makes of them to a comfortable level."""
    config = audio_vae.config
    latents = torch.randn((1, config.latent_channels, 30, config.latent_bins), generator=generator)
    last = audio_vae.decoder.conv_out
    _scale_output(last.conv, _output_of(last, lambda: audio_vae.decode(latents)), 1.5)
    if last.conv.bias is not None:
        last.conv.bias -= 3.0
    mel = audio_vae.decode(latents)
    for name, module in vocoder.named_modules():
        if name.endswith("conv_post") and isinstance(module, nn.Conv1d):
            _scale_output(module, _output_of(module, lambda: vocoder(mel)), _SOUND_DEVIATION)


def _output_of(layer: nn.Module, run: Callable[[], Tensor]) -> Tensor:
    seen: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        run()
    finally:
        handle.remove()
    return seen[-1]


def _scale_output(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d, output: Tensor, deviation: float) -> None:
    """Make each output channel [B, C, ...] of a convolution have mean 0 (where it has a bias) and that deviation."""
    channels = output.transpose(0, 1).flatten(1)
    gain = deviation / channels.std(dim=1)
    layer.weight *= gain.view(-1, *[1] * (layer.weight.ndim - 1))
    if layer.bias is not None:
        layer.bias.copy_((layer.bias - channels.mean(dim=1)) * gain)


def _write_text_encoder(folder: Path, generator: torch.Generator) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import Gemma3TextConfig, Gemma3TextModel, PreTrainedTokenizerFast

    specials = ["<pad>", "<eos>", "<bos>", "<unk>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*specials, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **dict(zip(("pad_token", "eos_token", "bos_token", "unk_token"), specials, strict=True)),
        model_max_length=_TEXT_TOKENS,
        padding_side="left",
    ).save_pretrained(str(folder))
    config = Gemma3TextConfig(
        vocab_size=len(vocabulary),
        hidden_size=_TEXT_WIDTH,
        intermediate_size=2 * _TEXT_WIDTH,
        num_hidden_layers=_TEXT_LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        query_pre_attn_scalar=16,
        sliding_window=_TEXT_TOKENS,
        max_position_embeddings=4 * _TEXT_TOKENS,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
        dtype="bfloat16",
    )
    model = Gemma3TextModel(config)
    with torch.no_grad():
        _randomise(model, generator)
    with without_progress_bar():
        model.to(torch.bfloat16).save_pretrained(str(folder))
