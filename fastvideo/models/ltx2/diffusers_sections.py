"""The configurations in a diffusers folder, as sections of an official checkpoint's metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from fastvideo.api.errors import CheckpointError

_RESAMPLING = {"spatial": "compress_space", "temporal": "compress_time", "spatiotemporal": "compress_all"}
# What diffusers can be configured to be, and LTX-2 2.0 and 2.3 are not. A key that is absent has this value too.
_FIXED: dict[str, dict[str, object]] = {
    "transformer": {
        "patch_size": 1,
        "patch_size_t": 1,
        "audio_patch_size": 1,
        "audio_patch_size_t": 1,
        "vae_scale_factors": [8, 32, 32],
        "audio_scale_factor": 4,
        "audio_sampling_rate": 16000,
        "audio_hop_length": 160,
        "causal_offset": 1,
        "activation_fn": "gelu-approximate",
        "qk_norm": "rms_norm_across_heads",
        "norm_elementwise_affine": False,
        "attention_bias": True,
        "attention_out_bias": True,
        "ff_bias": True,
        "audio_ff_bias": True,
        "use_prompt_adaln_single": True,
        "use_keyframes_abs_pos_embedding": False,
    },
    "connectors": {"causal_temporal_positioning": False},
    "vae": {"patch_size_t": 1, "encoder_causal": True, "timestep_conditioning": False, "scaling_factor": 1.0},
    "audio_vae": {"is_causal": True},
    "vocoder": {"leaky_relu_negative_slope": 0.1, "antialias_ratio": 2, "antialias_kernel_size": 12},
}


@dataclass(frozen=True)
class ComponentConfig:
    """``config.json`` of one component. A key that is absent or null has the value that diffusers gives it, which
    readers here pass along."""

    name: str
    values: Mapping[str, Any]

    def get(self, key: str, default: Any) -> Any:
        """The value of ``key``."""
        value = self.values.get(key)
        return default if value is None else value

    def items(self, key: str, default: Sequence[Any], count: int | None = None) -> list[Any]:
        """A list; a single value stands for ``count`` equal ones. Raises CheckpointError for one of another length."""
        value = self.get(key, default)
        if isinstance(value, list | tuple):
            if count is not None and len(value) != count:
                raise self.wrong(key, f"a list of {count}", value)
            return list(value)
        if count is None:
            raise self.wrong(key, "a list", value)
        return [value] * count

    def require(self, **expected: object) -> None:
        """Raise CheckpointError for a key that is there and has another value."""
        for key, value in expected.items():
            found = self.get(key, value)
            if (list(found) if isinstance(found, tuple) else found) != value:
                raise self.wrong(key, f"{value!r}, the only kind implemented here", found)

    def wrong(self, key: str, expected: str, found: object) -> CheckpointError:
        return CheckpointError(f"{self.name}/config.json {key}: expected {expected}, got {found!r}")


def official_sections(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Sections ``transformer``, ``vae``, ``audio_vae`` and ``vocoder`` for the components' configurations.

    Raises CheckpointError, with the component and the key, for a model that is not LTX-2 2.0 or 2.3.
    """
    parts = {name: ComponentConfig(name, values) for name, values in configs.items()}
    for name, expected in _FIXED.items():
        parts[name].require(**expected)
    return {
        "transformer": _transformer(parts["transformer"], parts["connectors"]),
        "vae": _video_vae(parts["vae"]),
        "audio_vae": _audio_vae(parts["audio_vae"]),
        "vocoder": _vocoder(parts["vocoder"]),
    }


def _transformer(model: ComponentConfig, connectors: ComponentConfig) -> dict[str, Any]:
    gated, modulated = bool(model.get("gated_attn", False)), bool(model.get("cross_attn_mod", False))
    captions = bool(model.get("use_prompt_embeddings", True))
    rope = {"rope_theta": 10000.0, "rope_double_precision": True, "rope_type": "interleaved"}
    model.require(audio_gated_attn=gated, audio_cross_attn_mod=modulated)
    layers = connectors.get("video_connector_num_layers", 2)
    registers = connectors.get("video_connector_num_learnable_registers", 128)
    connectors_gated = bool(connectors.get("video_gated_attn", False))
    for key, value in {
        "audio_connector_num_layers": layers,
        "audio_connector_num_learnable_registers": registers,
        "audio_gated_attn": connectors_gated,
        "per_modality_projections": not captions,
        "proj_bias": not captions,
        **{key: model.get(key, default) for key, default in rope.items()},
    }.items():
        default = rope.get(key, False if isinstance(value, bool) else value)
        if connectors.get(key, default) != value:
            raise connectors.wrong(key, f"{value!r}, as the rest of the model has it", connectors.get(key, default))
    return {
        "num_layers": model.get("num_layers", 48),
        "in_channels": model.get("in_channels", 128),
        "out_channels": model.get("out_channels", model.get("in_channels", 128)),
        "num_attention_heads": model.get("num_attention_heads", 32),
        "attention_head_dim": model.get("attention_head_dim", 128),
        "cross_attention_dim": model.get("cross_attention_dim", 4096),
        "audio_in_channels": model.get("audio_in_channels", 128),
        "audio_out_channels": model.get("audio_out_channels", model.get("audio_in_channels", 128)),
        "audio_num_attention_heads": model.get("audio_num_attention_heads", 32),
        "audio_attention_head_dim": model.get("audio_attention_head_dim", 64),
        "audio_cross_attention_dim": model.get("audio_cross_attention_dim", 2048),
        "caption_channels": connectors.get("caption_channels", 3840),
        "caption_proj_before_connector": not captions,
        "positional_embedding_theta": model.get("rope_theta", rope["rope_theta"]),
        "positional_embedding_max_pos": [
            model.get("pos_embed_max_pos", 20),
            model.get("base_height", 2048),
            model.get("base_width", 2048),
        ],
        "audio_positional_embedding_max_pos": [model.get("audio_pos_embed_max_pos", 20)],
        "rope_type": model.get("rope_type", rope["rope_type"]),
        "frequencies_precision": "float64" if model.get("rope_double_precision", True) else "float32",
        "timestep_scale_multiplier": model.get("timestep_scale_multiplier", 1000),
        "av_ca_timestep_scale_multiplier": model.get("cross_attn_timestep_scale_multiplier", 1000),
        "norm_eps": model.get("norm_eps", 1e-6),
        "apply_gated_attention": gated,
        "cross_attention_adaln": modulated,
        "connector_num_layers": layers,
        "connector_num_attention_heads": connectors.get("video_connector_num_attention_heads", 30),
        "connector_attention_head_dim": connectors.get("video_connector_attention_head_dim", 128),
        "audio_connector_num_attention_heads": connectors.get("audio_connector_num_attention_heads", 30),
        "audio_connector_attention_head_dim": connectors.get("audio_connector_attention_head_dim", 128),
        "connector_num_learnable_registers": registers,
        "connector_positional_embedding_max_pos": [connectors.get("connector_rope_base_seq_len", 4096)],
        "connector_apply_gated_attention": connectors_gated,
    }


def _video_vae(vae: ComponentConfig) -> dict[str, Any]:
    latent_channels = vae.get("latent_channels", 128)
    down_layers = vae.items("layers_per_block", (4, 6, 6, 2, 2))
    up_layers = vae.items("decoder_layers_per_block", (5, 5, 5, 5))
    downs, ups = len(down_layers) - 1, len(up_layers) - 1
    for key, count in (("spatio_temporal_scaling", downs), ("decoder_spatio_temporal_scaling", ups)):
        if not all(vae.items(key, (True,) * count, count)):
            raise vae.wrong(key, "true for every block", vae.get(key, None))
    if any(vae.items("decoder_inject_noise", (False,) * (ups + 1), ups + 1)):
        raise vae.wrong("decoder_inject_noise", "false for every block", vae.get("decoder_inject_noise", None))
    down_widths = [latent_channels, *vae.items("block_out_channels", (256, 512, 1024, 2048), downs)]
    down_kinds = vae.items("downsample_type", ("spatial", "temporal", "spatiotemporal", "spatiotemporal"), downs)
    up_kinds = vae.items("upsample_type", ("spatiotemporal",) * ups, ups)
    factors = vae.items("upsample_factor", (2,) * ups, ups)
    residual = vae.items("upsample_residual", (True,) * ups, ups)
    encoder: list[Any] = []
    for layers, kind, (before, after) in zip(down_layers, down_kinds, pairwise(down_widths), strict=False):
        name = f"{_resampling(vae, 'downsample_type', kind)}_res"
        encoder += [["res_x", {"num_layers": layers}], [name, {"multiplier": _times(vae, before, after)}]]
    decoder: list[Any] = []
    # The decoder is listed in the encoder's order, except for its kinds of upsampling.
    for layers, kind, factor, skips in zip(up_layers, reversed(up_kinds), factors, residual, strict=False):
        name = _resampling(vae, "upsample_type", kind)
        decoder += [["res_x", {"num_layers": layers}], [name, {"multiplier": factor, "residual": bool(skips)}]]
    width = vae.items("decoder_block_out_channels", (256, 512, 1024), ups)[-1]
    for factor in factors:
        width = _times(vae, factor, width)
    return {
        "in_channels": vae.get("in_channels", 3),
        "out_channels": vae.get("out_channels", 3),
        "latent_channels": latent_channels,
        "patch_size": vae.get("patch_size", 4),
        "latent_log_var": "uniform",
        "causal_decoder": vae.get("decoder_causal", True),
        "encoder_base_channels": latent_channels,
        "decoder_base_channels": width,
        "encoder_spatial_padding_mode": vae.get("encoder_spatial_padding_mode", "zeros"),
        "decoder_spatial_padding_mode": vae.get("decoder_spatial_padding_mode", "reflect"),
        "encoder_blocks": [*encoder, ["res_x", {"num_layers": down_layers[-1]}]],
        "decoder_blocks": [*decoder, ["res_x", {"num_layers": up_layers[-1]}]],
    }


def _resampling(vae: ComponentConfig, key: str, kind: object) -> str:
    if not isinstance(kind, str) or kind not in _RESAMPLING:
        raise vae.wrong(key, f"kinds among {', '.join(_RESAMPLING)}", kind)
    return _RESAMPLING[kind]


def _times(vae: ComponentConfig, of: object, width: object) -> int:
    if not isinstance(of, int) or not isinstance(width, int) or of < 1 or width < 1 or width % of:
        raise vae.wrong("block_out_channels", "widths that are multiples of each other", [of, width])
    return width // of


def _audio_vae(vae: ComponentConfig) -> dict[str, Any]:
    names = {
        "ch": ("base_channels", 128),
        "ch_mult": ("ch_mult", [1, 2, 4]),
        "num_res_blocks": ("num_res_blocks", 2),
        "in_channels": ("in_channels", 2),
        "out_ch": ("output_channels", 2),
        "z_channels": ("latent_channels", 8),
        "mel_bins": ("mel_bins", 64),
        "norm_type": ("norm_type", "pixel"),
        "causality_axis": ("causality_axis", "height"),
        "double_z": ("double_z", True),
        "mid_block_add_attention": ("mid_block_add_attention", False),
        "attn_resolutions": ("attn_resolutions", []),
    }
    ddconfig = {official: vae.get(key, default) for official, (key, default) in names.items()}
    return {
        "model": {"params": {"sampling_rate": vae.get("sample_rate", 16000), "ddconfig": ddconfig}},
        "preprocessing": {"stft": {"hop_length": vae.get("mel_hop_length", 160)}},
    }


def _vocoder(vocoder: ComponentConfig) -> dict[str, Any]:
    if "bwe_hidden_channels" not in vocoder.values:
        generator = _generator(vocoder, "", hidden=1024, kernels=(16, 15, 8, 4, 4), factors=(6, 5, 2, 2, 2), first=True)
        return generator | {"output_sampling_rate": vocoder.get("output_sampling_rate", 24000)}
    vocoder.require(window_length=vocoder.get("filter_length", 512), num_mel_channels=64)
    narrow = _generator(vocoder, "", hidden=1536, kernels=(11, 4, 4, 4, 4, 4), factors=(5, 2, 2, 2, 2, 2), first=False)
    wide = _generator(vocoder, "bwe_", hidden=512, kernels=(12, 11, 4, 4, 4), factors=(6, 5, 2, 2, 2), first=False)
    rates = {
        "input_sampling_rate": vocoder.get("input_sampling_rate", 16000),
        "output_sampling_rate": vocoder.get("output_sampling_rate", 48000),
        "n_fft": vocoder.get("filter_length", 512),
        "hop_length": vocoder.get("hop_length", 80),
    }
    return {"vocoder": narrow, "bwe": wide | rates}


def _generator(
    vocoder: ComponentConfig,
    prefix: str,
    *,
    hidden: int,
    kernels: tuple[int, ...],
    factors: tuple[int, ...],
    first: bool,
) -> dict[str, Any]:
    """One generator's section; ``first``: the vocoder of 2.0, whose other defaults differ."""

    def value(key: str, default: Any) -> Any:
        return vocoder.get(f"{prefix}{key}", default)

    channels = value("out_channels", 2)
    if channels not in (1, 2) or value("in_channels", 128) % channels:
        raise vocoder.wrong(f"{prefix}out_channels", "1 or 2, of which in_channels is a multiple", channels)
    periodic = value("act_fn", "leaky_relu" if first else "snakebeta") == "snakebeta"
    if value("antialias", not first) is not periodic:
        raise vocoder.wrong(f"{prefix}antialias", f"{periodic} with that act_fn", not periodic)
    # Null is a value of its own here: no activation at all.
    final = vocoder.values.get(f"{prefix}final_act_fn", "tanh" if first else None)
    vocoder.require(**{f"{prefix}act_fn": "snakebeta" if periodic else "leaky_relu"})
    if final not in (None, "tanh", "clamp"):
        raise vocoder.wrong(f"{prefix}final_act_fn", "tanh, clamp or null", final)
    return {
        "resblock": "AMP1" if periodic else "1",
        "activation": "snakebeta" if periodic else None,
        "stereo": channels == 2,
        "num_mels": value("in_channels", 128) // channels,
        "upsample_initial_channel": value("hidden_channels", hidden),
        "upsample_rates": list(value("upsample_factors", factors)),
        "upsample_kernel_sizes": list(value("upsample_kernel_sizes", kernels)),
        "resblock_kernel_sizes": list(value("resnet_kernel_sizes", (3, 7, 11))),
        "resblock_dilation_sizes": [list(row) for row in value("resnet_dilations", ((1, 3, 5),) * 3)],
        "apply_final_activation": final is not None,
        "use_tanh_at_final": final == "tanh",
        "use_bias_at_final": value("final_bias", first),
    }
