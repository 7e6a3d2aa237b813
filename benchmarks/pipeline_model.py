"""LTX-2 with random weights, in any size up to that of the published checkpoints (19B for 2.0, 22B for 2.3).

A smaller one has the published model's depth of every part but the transformer and the text encoder, and all widths
divided by the same number, heads of 128 channels included.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from fastvideo.models.ltx2.audio_vae import AudioVAE
from fastvideo.models.ltx2.config import LTX2Config
from fastvideo.models.ltx2.connectors import TextConnectors
from fastvideo.models.ltx2.loader import LTX2Components
from fastvideo.models.ltx2.text_encoder import GemmaTextEncoder
from fastvideo.models.ltx2.tiny import byte_tokenizer
from fastvideo.models.ltx2.transformer import LTX2Transformer
from fastvideo.models.ltx2.video_vae import VideoVAE
from fastvideo.models.ltx2.vocoder import Vocoder

FULL_WIDTH = 4096
_HEAD = 128
_REGISTERS = 128


@dataclass(frozen=True)
class ModelSize:
    """``width`` channels of the video stream (a multiple of 128; all other widths follow it), ``blocks`` of the
    transformer, ``text_layers`` of the text encoder. The defaults are the published sizes."""

    version: str = "2.0"
    width: int = FULL_WIDTH
    blocks: int = 48
    text_layers: int = 48
    text_tokens: int = 1024

    def __post_init__(self) -> None:
        if self.version not in ("2.0", "2.3"):
            raise ValueError(f"expected version 2.0 or 2.3, got {self.version}")
        if self.width < _HEAD or self.width % _HEAD or self.width > FULL_WIDTH:
            raise ValueError(f"expected a width that is a multiple of {_HEAD} up to {FULL_WIDTH}, got {self.width}")
        if self.text_tokens % _REGISTERS:
            raise ValueError(f"expected text tokens that are a multiple of {_REGISTERS}, got {self.text_tokens}")

    @property
    def text_width(self) -> int:
        """Channels of the text encoder: 15/16 of the width, in whole heads."""
        return max(1, round(self.width * 15 / 16 / _HEAD)) * _HEAD

    def scaled(self, published: int) -> int:
        """A width of the published checkpoint, divided as ``width`` is."""
        return published * self.width // FULL_WIDTH

    def config(self) -> LTX2Config:
        """What a checkpoint of this size would say about itself."""
        sections = {
            "transformer": _transformer(self),
            "vae": _video_vae(self),
            "audio_vae": _audio_vae(self),
            "vocoder": _vocoder(self),
        }
        config = LTX2Config.from_metadata({"config": json.dumps(sections), "model_version": self.version})
        return replace(config, connectors=replace(config.connectors, num_text_hidden_states=self.text_layers + 1))


def random_components(size: ModelSize, *, device: torch.device, dtype: torch.dtype, seed: int = 0) -> LTX2Components:
    """All parts that make a clip, filled from the seed where they are; the vocoder stays in float32."""
    config = size.config()
    generator = torch.Generator(device).manual_seed(seed)
    with torch.device("meta"):
        modules: dict[str, nn.Module] = {
            "connectors": TextConnectors(config.connectors),
            "transformer": LTX2Transformer(config.transformer),
            "video_vae": VideoVAE(config.video_vae),
            "audio_vae": AudioVAE(config.audio_vae),
        }
    for name, module in modules.items():
        modules[name] = module.to(dtype).to_empty(device=device)
    # Filters and windows of the vocoder are buffers, which an empty copy would not have.
    modules["vocoder"] = Vocoder(config.vocoder).to(device)
    modules["text_encoder"] = _text_encoder(size).to(device=device, dtype=dtype)
    for module in modules.values():
        _randomise(module, generator)
        module.eval().requires_grad_(False)
    text_encoder = GemmaTextEncoder(modules.pop("text_encoder"), byte_tokenizer(size.text_tokens))
    parts: dict[str, Any] = modules
    return LTX2Components(config=config, text_encoder=text_encoder, **parts)


@torch.no_grad()
def _randomise(module: nn.Module, generator: torch.Generator) -> None:
    """Weights that keep the variance of what passes through, norms near 1, and nothing that is zero."""
    for name, parameter in module.named_parameters():
        parameter.normal_(generator=generator)
        if name.endswith("norm.weight"):
            parameter.mul_(0.1).add_(1.0)
        elif name.endswith("registers"):
            continue
        elif parameter.ndim >= 2 and "table" not in name:
            parameter.div_(math.sqrt(parameter[0].numel()))
        else:
            parameter.mul_(0.1)
    for name, buffer in module.named_buffers():
        if name.endswith("mean-of-means"):
            buffer.normal_(generator=generator).mul_(0.1)
        elif name.endswith("std-of-means"):
            buffer.normal_(generator=generator).mul_(0.1).add_(1.0)


def _text_encoder(size: ModelSize) -> nn.Module:
    """Gemma 3 without its large table of words: a prompt's bytes are its tokens, which cost the same."""
    from transformers import Gemma3TextConfig, Gemma3TextModel

    pairs = max(1, round(size.text_width / 480))
    model: nn.Module = Gemma3TextModel(
        Gemma3TextConfig(
            vocab_size=len(byte_tokenizer(size.text_tokens)),
            hidden_size=size.text_width,
            intermediate_size=4 * size.text_width,
            num_hidden_layers=size.text_layers,
            num_attention_heads=2 * pairs,
            num_key_value_heads=pairs,
            head_dim=256,
            query_pre_attn_scalar=256,
            sliding_window=1024,
            max_position_embeddings=8 * size.text_tokens,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=2,
        )
    )
    return model


def _transformer(size: ModelSize) -> dict[str, Any]:
    heads = size.width // _HEAD
    text_heads = size.text_width // _HEAD
    later = size.version == "2.3"
    section: dict[str, Any] = {
        "num_layers": size.blocks,
        "num_attention_heads": heads,
        "attention_head_dim": _HEAD,
        "cross_attention_dim": size.width,
        "audio_num_attention_heads": heads,
        "audio_attention_head_dim": _HEAD // 2,
        "audio_cross_attention_dim": size.width // 2,
        "caption_channels": size.text_width,
        "rope_type": "split",
        "frequencies_precision": "float64",
        "av_ca_timestep_scale_multiplier": 1000.0,
        "connector_num_layers": 8 if later else 2,
        "connector_num_attention_heads": heads if later else text_heads,
        "connector_attention_head_dim": _HEAD,
        "connector_num_learnable_registers": _REGISTERS,
        "audio_connector_num_attention_heads": heads if later else text_heads,
        "audio_connector_attention_head_dim": _HEAD // 2 if later else _HEAD,
    }
    if later:
        section |= {"apply_gated_attention": True, "cross_attention_adaln": True, "caption_proj_before_connector": True}
    return section


def _video_vae(size: ModelSize) -> dict[str, Any]:
    later = size.version == "2.3"

    def res(layers: int) -> list[Any]:
        return ["res_x", {"num_layers": layers}]

    def down(name: str, multiplier: int = 2) -> list[Any]:
        return [f"{name}_res", {"multiplier": multiplier}]

    def up(name: str, multiplier: int = 2) -> list[Any]:
        return [name, {"multiplier": multiplier, "residual": not later}]

    last = down("compress_all", 1 if later else 2)
    encoder = [res(4), down("compress_space"), res(6), down("compress_time"), res(4 if later else 6)]
    encoder += [down("compress_all"), res(2), last, res(2)]
    if later:
        decoder = [res(4), up("compress_space"), res(6), up("compress_time"), res(4), up("compress_all", 1), res(2)]
        decoder += [up("compress_all"), res(2)]
    else:
        decoder = [res(5), *(block for _ in range(3) for block in (up("compress_all"), res(5)))]
    return {
        "encoder_base_channels": size.scaled(128),
        "decoder_base_channels": size.scaled(128),
        "encoder_spatial_padding_mode": "zeros",
        "decoder_spatial_padding_mode": "zeros" if later else "reflect",
        "encoder_blocks": encoder,
        "decoder_blocks": decoder,
    }


def _audio_vae(size: ModelSize) -> dict[str, Any]:
    layout = {"ch": size.scaled(128), "ch_mult": [1, 2, 4], "num_res_blocks": 2, "in_channels": 2, "out_ch": 2}
    kind = {"norm_type": "pixel", "causality_axis": "height", "double_z": True, "mid_block_add_attention": False}
    return {
        "model": {
            "params": {
                "sampling_rate": 16000,
                "ddconfig": {**layout, **kind, "attn_resolutions": [], "z_channels": 8, "mel_bins": 64},
            }
        },
        "preprocessing": {
            "stft": {"filter_length": 1024, "win_length": 1024, "hop_length": 160},
            "mel": {"n_mel_channels": 64, "mel_fmin": 0, "mel_fmax": 8000},
        },
    }


def _vocoder(size: ModelSize) -> dict[str, Any]:
    blocks = {"resblock_kernel_sizes": [3, 7, 11], "resblock_dilation_sizes": [[1, 3, 5]] * 3, "stereo": True}
    if size.version == "2.0":
        return {
            "resblock": "1",
            "upsample_initial_channel": size.scaled(1024),
            "upsample_rates": [6, 5, 2, 2, 2],
            "upsample_kernel_sizes": [16, 15, 8, 4, 4],
            "output_sampling_rate": 24000,
            **blocks,
        }
    ends = {"resblock": "AMP1", "activation": "snakebeta", "use_bias_at_final": False, "apply_final_activation": False}
    # Six stages halve the channels each time.
    return {
        "vocoder": {
            "upsample_initial_channel": max(64, size.scaled(1536) // 64 * 64),
            "upsample_rates": [5, 2, 2, 2, 2, 2],
            "upsample_kernel_sizes": [11, 4, 4, 4, 4, 4],
            **ends,
            **blocks,
        },
        "bwe": {
            "upsample_initial_channel": size.scaled(512) // 32 * 32 or 32,
            "upsample_rates": [6, 5, 2, 2, 2],
            "upsample_kernel_sizes": [12, 11, 4, 4, 4],
            "input_sampling_rate": 16000,
            "output_sampling_rate": 48000,
            "n_fft": 512,
            "hop_length": 80,
            **ends,
            **blocks,
        },
    }
