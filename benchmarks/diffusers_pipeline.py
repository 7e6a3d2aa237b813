"""diffusers' LTX-2 pipeline with the weights of ours: the same tensors under other names, none of them copied."""

from __future__ import annotations

from typing import Any, cast

import diffusers
import torch
from diffusers.pipelines.ltx2 import connectors as diffusers_connectors
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder, LTX2VocoderWithBWE
from torch import Tensor, nn

from benchmarks.diffusers_names import renamed
from fastvideo.models.ltx2.connectors import TextConnectorsConfig
from fastvideo.models.ltx2.loader import LTX2Components
from fastvideo.models.ltx2.transformer import LTX2TransformerConfig
from fastvideo.models.ltx2.video_vae import VideoVAEConfig
from fastvideo.models.ltx2.vocoder import VocoderConfig
from fastvideo.models.ltx2.waveform_generator import GeneratorConfig

_UPSAMPLES = {"compress_all": "spatiotemporal", "compress_time": "temporal", "compress_space": "spatial"}


def diffusers_pipeline(components: LTX2Components) -> Any:
    """An ``LTX2Pipeline`` that makes clips from prompts. It cannot encode pictures: that part is small and random."""
    text_encoder = components.text_encoder
    pipeline = diffusers.LTX2Pipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=_video_vae(components),
        audio_vae=_audio_vae(components),
        text_encoder=text_encoder.model,
        tokenizer=text_encoder._tokenizer,
        connectors=_connectors(components),
        transformer=_transformer(components),
        vocoder=_vocoder(components),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def load(module: nn.Module, state: dict[str, Tensor]) -> None:
    """Let the module use these tensors as its own: all of them, and no others."""
    module.load_state_dict(state, strict=True, assign=True)
    module.eval().requires_grad_(False)


def _transformer(components: LTX2Components) -> nn.Module:
    config = components.config.transformer
    with torch.device("meta"):
        transformer = diffusers.LTX2VideoTransformer3DModel(**_transformer_arguments(config))
    load(transformer, renamed("transformer", components.transformer.state_dict()))
    return cast(nn.Module, transformer)


def _transformer_arguments(config: LTX2TransformerConfig) -> dict[str, Any]:
    return {
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
        "num_attention_heads": config.num_attention_heads,
        "attention_head_dim": config.attention_head_dim,
        "cross_attention_dim": config.cross_attention_dim,
        "gated_attn": config.apply_gated_attention,
        "cross_attn_mod": config.cross_attention_adaln,
        "audio_in_channels": config.audio_in_channels,
        "audio_out_channels": config.audio_out_channels,
        "audio_num_attention_heads": config.audio_num_attention_heads,
        "audio_attention_head_dim": config.audio_attention_head_dim,
        "audio_cross_attention_dim": config.audio_cross_attention_dim,
        "audio_gated_attn": config.apply_gated_attention,
        "audio_cross_attn_mod": config.cross_attention_adaln,
        "num_layers": config.num_layers,
        "caption_channels": config.caption_channels,
        "rope_double_precision": config.frequencies_precision == "float64",
        "cross_attn_timestep_scale_multiplier": config.av_ca_timestep_scale_multiplier,
        "rope_type": config.rope_type,
        "use_prompt_embeddings": not config.caption_proj_before_connector,
        "perturbed_attn": True,
    }


def _connectors(components: LTX2Components) -> nn.Module:
    config = components.connectors.config
    with torch.device("meta"):
        connectors = diffusers_connectors.LTX2TextConnectors(**_connectors_arguments(config))
    load(connectors, renamed("connectors", components.connectors.state_dict()))
    return cast(nn.Module, connectors)


def _connectors_arguments(config: TextConnectorsConfig) -> dict[str, Any]:
    return {
        "caption_channels": config.caption_channels,
        "text_proj_in_factor": config.num_text_hidden_states,
        "video_connector_num_attention_heads": config.connector_num_attention_heads,
        "video_connector_attention_head_dim": config.connector_attention_head_dim,
        "video_connector_num_layers": config.connector_num_layers,
        "video_connector_num_learnable_registers": config.connector_num_learnable_registers,
        "video_gated_attn": config.connector_apply_gated_attention,
        "audio_connector_num_attention_heads": config.audio_connector_num_attention_heads,
        "audio_connector_attention_head_dim": config.audio_connector_attention_head_dim,
        "audio_connector_num_layers": config.connector_num_layers,
        "audio_connector_num_learnable_registers": config.connector_num_learnable_registers,
        "audio_gated_attn": config.connector_apply_gated_attention,
        "rope_type": config.rope_type,
        "rope_double_precision": config.frequencies_precision == "float64",
        "per_modality_projections": config.caption_proj_before_connector,
        "video_hidden_dim": config.video_dim,
        "audio_hidden_dim": config.audio_dim,
        "proj_bias": config.caption_proj_before_connector,
    }


def _video_vae(components: LTX2Components) -> nn.Module:
    config = components.config.video_vae
    vae = diffusers.AutoencoderKLLTX2Video(
        latent_channels=config.latent_channels,
        decoder_causal=config.causal_decoder,
        spatial_compression_ratio=config.spatial_scale,
        temporal_compression_ratio=config.temporal_scale,
        patch_size=config.patch_size,
        block_out_channels=(16, 16, 16, 16),
        layers_per_block=(1,) * 5,
        **_decoder_arguments(config),
    )
    # The rest is small, and takes the decoder's type and place.
    like = components.video_vae.decoder.conv_in.conv.weight
    nn.Module.to(vae, device=like.device, dtype=like.dtype)
    state = renamed("video_vae", components.video_vae.state_dict())
    decoder = {name: tensor for name, tensor in state.items() if name.startswith("decoder.")}
    load(vae.decoder, {name.removeprefix("decoder."): tensor for name, tensor in decoder.items()})
    statistics = components.video_vae.per_channel_statistics
    vae.latents_mean.copy_(statistics.get_buffer("mean-of-means"))
    vae.latents_std.copy_(statistics.get_buffer("std-of-means"))
    return cast(nn.Module, vae.eval().requires_grad_(False))


def _decoder_arguments(config: VideoVAEConfig) -> dict[str, Any]:
    """The blocks of our list, which is in the encoder's order as theirs is: residual blocks, and resampling between."""
    ups = [block for block in config.decoder_blocks if not block.is_resnet]
    channels, widths = config.decoder_base_channels, []
    for block in ups:
        channels *= block.multiplier
        widths.append(channels)
    residual_layers = tuple(block.num_layers for block in config.decoder_blocks if block.is_resnet)
    return {
        "decoder_block_out_channels": tuple(widths),
        "decoder_layers_per_block": residual_layers,
        "decoder_inject_noise": (False,) * len(residual_layers),
        # Theirs is the one list that is in the decoder's order.
        "upsample_type": tuple(_UPSAMPLES[block.name] for block in reversed(ups)),
        "upsample_residual": tuple(block.residual for block in ups),
        "upsample_factor": tuple(block.multiplier for block in ups),
        "decoder_spatio_temporal_scaling": (True,) * len(ups),
        "decoder_spatial_padding_mode": config.decoder_spatial_padding_mode,
    }


def _audio_vae(components: LTX2Components) -> nn.Module:
    config = components.config.audio_vae
    audio_vae = diffusers.AutoencoderKLLTX2Audio(
        base_channels=config.base_channels,
        output_channels=config.audio_channels,
        ch_mult=config.channel_multipliers,
        num_res_blocks=config.res_blocks,
        in_channels=config.audio_channels,
        latent_channels=config.latent_channels,
        mel_bins=config.mel.mel_bins,
    )
    # One statistic per token component; diffusers sizes its buffers by the width, which is the same in published files.
    count = config.latent_channels * config.latent_bins
    audio_vae.latents_mean, audio_vae.latents_std = torch.zeros(count), torch.ones(count)
    load(audio_vae, renamed("audio_vae", components.audio_vae.state_dict()))
    return cast(nn.Module, audio_vae)


def _vocoder(components: LTX2Components) -> nn.Module:
    config = components.config.vocoder
    arguments = _vocoder_arguments(config)
    vocoder = LTX2Vocoder(**arguments) if config.bandwidth_extension is None else LTX2VocoderWithBWE(**arguments)
    load(vocoder, renamed("vocoder", components.vocoder.state_dict()))
    return cast(nn.Module, vocoder)


def _vocoder_arguments(config: VocoderConfig) -> dict[str, Any]:
    arguments = _generator_arguments(config.generator)
    if config.bandwidth_extension is not None:
        extension = _generator_arguments(config.bandwidth_extension.generator)
        arguments |= {f"bwe_{key}": value for key, value in extension.items()}
    return arguments


def _generator_arguments(config: GeneratorConfig) -> dict[str, Any]:
    return {
        "in_channels": config.audio_channels * config.mel_bins,
        "hidden_channels": config.initial_channels,
        "out_channels": config.audio_channels,
        "upsample_kernel_sizes": list(config.upsample_kernel_sizes),
        "upsample_factors": list(config.upsample_rates),
        "resnet_kernel_sizes": list(config.resblock_kernel_sizes),
        "resnet_dilations": [list(row) for row in config.resblock_dilations],
        "act_fn": config.activation,
        "antialias": config.activation == "snakebeta",
        "final_act_fn": None if config.final_activation == "none" else config.final_activation,
        "final_bias": config.final_bias,
    }
