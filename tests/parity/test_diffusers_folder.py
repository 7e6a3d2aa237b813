"""Folders that diffusers wrote, loaded here: what each part makes of an input against what diffusers' own one makes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers.pipelines.ltx2 import connectors as diffusers_connectors
from diffusers.pipelines.ltx2.latent_upsampler import LTX2LatentUpsamplerModel
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder, LTX2VocoderWithBWE
from torch import Tensor, nn

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.inspection import inspect_file
from fastvideo.models.ltx2.loader import LTX2Components, load_components
from fastvideo.models.ltx2.rope import audio_positions, video_positions
from fastvideo.models.ltx2.tiny import write_text_encoder
from fastvideo.models.ltx2.transformer import ModalityInput

VIDEO_CHANNELS, AUDIO_CHANNELS, TEXT_WIDTH = 8, 32, 64
ROPE: dict[str, Any] = {"rope_type": "split", "rope_double_precision": True}
TRANSFORMER: dict[str, Any] = {
    "in_channels": VIDEO_CHANNELS,
    "out_channels": VIDEO_CHANNELS,
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "cross_attention_dim": 32,
    "audio_in_channels": AUDIO_CHANNELS,
    "audio_out_channels": AUDIO_CHANNELS,
    "audio_num_attention_heads": 2,
    "audio_attention_head_dim": 8,
    "audio_cross_attention_dim": 16,
    "num_layers": 2,
    "caption_channels": TEXT_WIDTH,
    **ROPE,
}
# 2.0 has one projection of the text for both streams.
CONNECTORS: dict[str, Any] = {
    "caption_channels": TEXT_WIDTH,
    "text_proj_in_factor": 3,
    "video_connector_num_attention_heads": 4,
    "video_connector_attention_head_dim": 16,
    "audio_connector_num_attention_heads": 4,
    "audio_connector_attention_head_dim": 16,
    "video_connector_num_learnable_registers": 8,
    "audio_connector_num_learnable_registers": 8,
    **ROPE,
}
VIDEO_VAE: dict[str, Any] = {
    "latent_channels": VIDEO_CHANNELS,
    "decoder_causal": False,
    "spatial_compression_ratio": 32,
    "temporal_compression_ratio": 8,
}
VOCODER: dict[str, Any] = {"resnet_kernel_sizes": [3], "resnet_dilations": [[1, 3, 5]]}
EXTENDED = {f"bwe_{key}": value for key, value in VOCODER.items()}
LATER: dict[str, dict[str, Any]] = {
    "transformer": {
        "gated_attn": True,
        "audio_gated_attn": True,
        "cross_attn_mod": True,
        "audio_cross_attn_mod": True,
        "use_prompt_embeddings": False,
        "perturbed_attn": True,
    },
    "connectors": {
        "video_connector_num_attention_heads": 2,
        "audio_connector_num_attention_heads": 2,
        "audio_connector_attention_head_dim": 8,
        "video_connector_num_layers": 3,
        "audio_connector_num_layers": 3,
        "video_gated_attn": True,
        "audio_gated_attn": True,
        "per_modality_projections": True,
        "video_hidden_dim": 32,
        "audio_hidden_dim": 16,
        "proj_bias": True,
    },
}
# The published layouts, narrow and with fewer layers.
LAYOUTS: dict[str, dict[str, Any]] = {
    "2.0": {
        "block_out_channels": (16, 32, 64, 128),
        "layers_per_block": (2, 1, 2, 1, 2),
        "decoder_block_out_channels": (16, 32, 64),
        "decoder_layers_per_block": (1, 2, 1, 2),
        "decoder_spatial_padding_mode": "reflect",
    },
    "2.3": {
        "block_out_channels": (16, 32, 64, 64),
        "layers_per_block": (2, 1, 1, 2, 1),
        "decoder_block_out_channels": (16, 32, 32, 64),
        "decoder_layers_per_block": (1, 2, 1, 2, 1),
        "decoder_inject_noise": (False,) * 5,
        "upsample_type": ("spatiotemporal", "spatiotemporal", "temporal", "spatial"),
        "upsample_residual": (False,) * 4,
        "upsample_factor": (2, 2, 1, 2),
        "decoder_spatio_temporal_scaling": (True,) * 4,
        "decoder_spatial_padding_mode": "zeros",
    },
}


def modules(version: str) -> dict[str, nn.Module]:
    later = LATER if version == "2.3" else {}
    made: dict[str, nn.Module] = {
        "transformer": diffusers.LTX2VideoTransformer3DModel(**TRANSFORMER | later.get("transformer", {})),
        "connectors": diffusers_connectors.LTX2TextConnectors(**CONNECTORS | later.get("connectors", {})),
        "vae": diffusers.AutoencoderKLLTX2Video(**VIDEO_VAE, **LAYOUTS[version]),
        # Its statistics are as many as its first channels, which are as many as a token's here, as in published files.
        "audio_vae": diffusers.AutoencoderKLLTX2Audio(
            base_channels=AUDIO_CHANNELS, latent_channels=2, num_res_blocks=1
        ),
        "vocoder": LTX2Vocoder(hidden_channels=32, **VOCODER)
        if version == "2.0"
        else LTX2VocoderWithBWE(hidden_channels=64, bwe_hidden_channels=32, **VOCODER, **EXTENDED),
        "latent_upsampler": LTX2LatentUpsamplerModel(
            in_channels=VIDEO_CHANNELS,
            mid_channels=32,
            num_blocks_per_stage=1,
            use_rational_resampler=version == "2.0",
        ),
    }
    generator = torch.Generator().manual_seed(7)
    for module in made.values():
        module.eval().requires_grad_(False)
        for name, tensor in module.state_dict().items():
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith(("filter", "kernel")):
                # Filters are what their formulas say.
                continue
            if name.endswith("latents_std"):
                tensor.copy_(noise.abs() + 0.5)
            elif name.endswith("basis"):
                # Of one sign: the logarithm of what nearly cancels would show nothing but rounding.
                tensor.copy_(noise.abs() / 16 if name.endswith("mel_basis") else noise / 16)
            elif name.endswith("norm.weight") or "norm_" in name:
                tensor.copy_(1 + 0.2 * noise)
            elif tensor.ndim > 1:
                tensor.copy_(0.7 * noise / tensor[0].numel() ** 0.5)
            else:
                tensor.copy_(0.2 * noise)
    # Quiet, so that the clamp at the end hides nothing.
    for name, gain in {"vocoder.conv_out.weight": 0.1, "bwe_generator.conv_out.weight": 0.05}.items():
        if version == "2.3":
            made["vocoder"].state_dict()[name].mul_(gain)
    return made


@pytest.fixture(scope="module", params=["2.0", "2.3"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def oracle(version: str) -> dict[str, Any]:
    return modules(version)


@pytest.fixture(scope="module")
def folder(oracle: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``save_pretrained`` of the whole pipeline leaves it, with a transformer in several files."""
    path = tmp_path_factory.mktemp("pipeline")
    for name, module in oracle.items():
        module.save_pretrained(path / name, **({"max_shard_size": "60KB"} if name == "transformer" else {}))
    write_text_encoder(path / "text_encoder", torch.Generator().manual_seed(8))
    (path / "tokenizer").mkdir()
    for file in [*path.glob("text_encoder/tokenizer*"), *path.glob("text_encoder/special_tokens*")]:
        file.rename(path / "tokenizer" / file.name)
    index: dict[str, Any] = {name: ["diffusers", type(module).__name__] for name, module in oracle.items()}
    (path / "model_index.json").write_text(json.dumps({"_class_name": "LTX2Pipeline", **index}))
    assert len(list(path.glob("transformer/*.safetensors"))) > 1
    return path


@pytest.fixture(scope="module")
def loaded(folder: Path) -> LTX2Components:
    return load_components(folder, upsampler_file=folder / "latent_upsampler")


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_the_version_and_the_layout_are_read_from_the_parts(version: str, loaded: LTX2Components) -> None:
    assert loaded.config.model_version == version
    assert loaded.config.connectors.num_text_hidden_states == 3
    assert (loaded.vocoder.sample_rate, loaded.video_vae.spatial_scale) == (24000 if version == "2.0" else 48000, 32)


@torch.inference_mode()
def test_velocities_are_those_of_diffusers(oracle: dict[str, Any], loaded: LTX2Components) -> None:
    model = loaded.transformer
    # diffusers knows the older forms of the timestep across streams only; nothing else differs.
    official = model.config
    model.config = replace(official, av_cross_timestep="other")
    context_widths = (32, 16) if official.caption_proj_before_connector else (TEXT_WIDTH, TEXT_WIDTH)
    sigma = torch.tensor([0.6])
    inputs = [
        ModalityInput(latents, torch.full(latents.shape[:2], 0.6), sigma, positions, noise(1, 4, width))
        for latents, positions, width in zip(
            (noise(1, 12, VIDEO_CHANNELS), noise(1, 5, AUDIO_CHANNELS)),
            (video_positions(2, 2, 3, fps=24), audio_positions(5)),
            context_widths,
            strict=True,
        )
    ]
    video, audio = inputs
    try:
        actual = model(video, audio)
    finally:
        model.config = official
    expected = oracle["transformer"](
        hidden_states=video.latents,
        audio_hidden_states=audio.latents,
        encoder_hidden_states=video.context,
        audio_encoder_hidden_states=audio.context,
        timestep=video.timesteps * 1000,
        audio_timestep=audio.timesteps * 1000,
        sigma=sigma * 1000,
        audio_sigma=sigma * 1000,
        video_coords=video.positions,
        audio_coords=audio.positions,
        return_dict=False,
    )
    for ours, theirs in zip(actual, expected, strict=True):
        assert theirs.std() > 0.1
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_contexts_are_those_of_diffusers(oracle: dict[str, Any], loaded: LTX2Components) -> None:
    hidden_states = 3 * noise(2, 16, TEXT_WIDTH, 3)
    mask = torch.stack([(torch.arange(16) >= 16 - count).long() for count in (5, 16)])
    video, audio, _ = oracle["connectors"](hidden_states, mask)
    for ours, theirs in zip(loaded.connectors(hidden_states, mask), (video, audio), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_pixels_and_their_latents_are_those_of_diffusers(oracle: dict[str, Any], loaded: LTX2Components) -> None:
    vae = oracle["vae"]
    mean, deviation = (buffer.view(1, -1, 1, 1, 1) for buffer in (vae.latents_mean, vae.latents_std))
    pixels = noise(1, 3, 9, 64, 64).clamp(-1, 1)
    expected = (vae.encode(pixels).latent_dist.mode() - mean) / deviation
    torch.testing.assert_close(loaded.video_vae.encode(pixels), expected, atol=1e-4, rtol=1e-4)
    latents = noise(1, VIDEO_CHANNELS, 2, 2, 2)
    decoded = vae.decode(latents * deviation + mean).sample
    torch.testing.assert_close(loaded.video_vae.decode(latents), decoded, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_spectra_their_latents_and_their_sound_are_those_of_diffusers(
    oracle: dict[str, Any], loaded: LTX2Components
) -> None:
    vae = oracle["audio_vae"]

    def tokens(latents: Tensor) -> Tensor:
        return latents.transpose(1, 2).flatten(2)

    mel = 2 * noise(1, 2, 13, 64) - 4
    expected = (tokens(vae.encode(mel).latent_dist.mode()) - vae.latents_mean) / vae.latents_std
    torch.testing.assert_close(tokens(loaded.audio_vae.encode(mel)), expected, atol=1e-5, rtol=1e-5)
    latents = noise(1, 2, 4, 16)
    scaled = tokens(latents) * vae.latents_std + vae.latents_mean
    decoded = vae.decode(scaled.unflatten(2, (2, -1)).transpose(1, 2)).sample
    torch.testing.assert_close(loaded.audio_vae.decode(latents), decoded, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(loaded.vocoder(mel), oracle["vocoder"](mel), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_upsampled_latents_are_those_of_diffusers(oracle: dict[str, Any], loaded: LTX2Components) -> None:
    latents = noise(1, VIDEO_CHANNELS, 2, 3, 4)
    assert loaded.upsampler is not None
    torch.testing.assert_close(loaded.upsampler(latents), oracle["latent_upsampler"](latents), atol=1e-5, rtol=1e-5)


def test_the_folder_is_told_by_its_parts_without_loading_it(version: str, folder: Path, oracle: dict[str, Any]) -> None:
    found = inspect_file(folder)
    assert (found.kind, found.version) == ("checkpoint", version)
    assert [part.name for part in found.parts] == ["transformer", "connectors", "video_vae", "audio_vae", "vocoder"]
    assert found.parts[0].tensors == len(oracle["transformer"].state_dict())
    assert found.notes == ("2 transformer blocks, in the layout of diffusers", "a latent upsampler is with it")


Damage = Callable[[Path], None]


def edited(name: str, **values: Any) -> Damage:
    """Other values in a component's configuration; None takes a key out."""

    def damage(folder: Path) -> None:
        file = folder / name
        config = json.loads(file.read_text()) | values
        file.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))

    return damage


def without(name: str) -> Damage:
    def damage(folder: Path) -> None:
        for path in folder.glob(name):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    return damage


def written(name: str, text: str) -> Damage:
    return lambda folder: (folder / name).write_text(text) and None


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (written("model_index.json", "{"), r"model_index\.json is not JSON"),
        (written("model_index.json", "[]"), "expected an object, got list"),
        (edited("model_index.json", _class_name="FluxPipeline", connectors=None), "names no connectors.*FluxPipeline"),
        (without("vae"), r"expected one \*\.safetensors file, or their index, in .*vae, found none"),
        (without("vae/config.json"), r"cannot read .*vae.config\.json"),
        (without("transformer/*00001*"), "lists files that are not beside it: diffusion_pytorch_model-00001"),
        (
            edited("transformer/diffusion_pytorch_model.safetensors.index.json", weight_map={"a": "../../secret"}),
            "lists files that are not beside it",
        ),
        (without("tokenizer"), "no tokenizer at"),
        (edited("vae/config.json", _class_name="AutoencoderKL"), "expected a AutoencoderKLLTX2Video.*'AutoencoderKL'"),
        (edited("transformer/config.json", ff_bias=False), "transformer/config.json ff_bias: expected True"),
        (edited("transformer/config.json", num_layers="two"), "num_layers: expected a positive integer, got 'two'"),
        (edited("transformer/config.json", num_layers=1), "unknown tensors: transformer_blocks.1"),
        (edited("transformer/config.json", num_layers=3), "missing tensors: transformer_blocks.2"),
        (
            edited("connectors/config.json", rope_type="interleaved"),
            "connectors/config.json rope_type: expected 'split'",
        ),
        (edited("vae/config.json", upsample_type=["sideways"] * 3), "upsample_type: expected kinds among spatial"),
        (edited("vae/config.json", layers_per_block=7), "layers_per_block: expected a list, got 7"),
        (edited("audio_vae/config.json", base_channels=16), r"has shape \[.*\], expected \["),
        (edited("vocoder/config.json", antialias=True), "vocoder/config.json antialias: expected False"),
        (written("vocoder/diffusion_pytorch_model.safetensors", "sound"), "not a readable safetensors file"),
    ],
)
@pytest.mark.parametrize("version", ["2.0"], indirect=True, scope="module")
def test_a_damaged_folder_is_refused_in_a_sentence(damage: Damage, sentence: str, folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    damage(broken)
    with pytest.raises(CheckpointError, match=sentence):
        load_components(broken)
