"""Strict loading of an official LTX-2 single-file checkpoint: a place for every tensor, a tensor for every place.

The file carries all parts but the text encoder under the prefixes below. The text encoder is a Gemma 3 folder called
``text_encoder`` beside the file, or the one that ``pipeline.components.text_encoder_weights`` names. A latent
upsampler, where it is needed, is a file of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.audio_vae import AudioVAE
from fastvideo.models.ltx2.config import LTX2Config
from fastvideo.models.ltx2.connectors import TextConnectors
from fastvideo.models.ltx2.tensor_file import TensorFile
from fastvideo.models.ltx2.tensor_names import PROJECTION_PREFIX, official_key, split_key
from fastvideo.models.ltx2.text_encoder import GemmaTextEncoder
from fastvideo.models.ltx2.transformer import LTX2Transformer
from fastvideo.models.ltx2.upsampler import LatentUpsampler, load_upsampler
from fastvideo.models.ltx2.video_vae import UNUSED_TENSORS, VideoVAE
from fastvideo.models.ltx2.vocoder import Vocoder

TEXT_ENCODER_FOLDER = "text_encoder"
UPSAMPLER_FOLDER = "spatial_upscaler"

_AGGREGATES = ("aggregate_embed", "video_aggregate_embed")

__all__ = [
    "TEXT_ENCODER_FOLDER",
    "UPSAMPLER_FOLDER",
    "LTX2Components",
    "checkpoint_file",
    "load_components",
    "official_key",
    "split_key",
]


@dataclass
class LTX2Components:
    """The loaded parts, in evaluation mode."""

    config: LTX2Config
    text_encoder: GemmaTextEncoder
    connectors: TextConnectors
    transformer: LTX2Transformer
    video_vae: VideoVAE
    audio_vae: AudioVAE
    vocoder: Vocoder
    upsampler: LatentUpsampler | None = None

    def modules(self) -> dict[str, nn.Module]:
        """The parts that hold weights, by name."""
        modules: dict[str, nn.Module] = {
            "text_encoder": self.text_encoder.model,
            "connectors": self.connectors,
            "transformer": self.transformer,
            "video_vae": self.video_vae,
            "audio_vae": self.audio_vae,
            "vocoder": self.vocoder,
        }
        return modules if self.upsampler is None else {**modules, "upsampler": self.upsampler}


def checkpoint_file(path: Path) -> Path:
    """The checkpoint that ``path`` means: the file itself, or the only ``*.safetensors`` file of a folder."""
    if path.is_dir():
        if (path / "model_index.json").is_file():
            raise CheckpointError(
                f"{path} is a folder in the layout of diffusers, which is not loaded here; use the model's official "
                "single file"
            )
        files = sorted(path.glob("*.safetensors"))
        if len(files) != 1:
            found = ", ".join(file.name for file in files[:5]) or "none"
            raise CheckpointError(f"expected one *.safetensors file in {path}, found {found}; name the file itself")
        return files[0]
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}: expected a .safetensors file, or a folder with one")
    return path


def load_components(
    path: Path | str,
    *,
    text_encoder_folder: Path | str | None = None,
    upsampler_file: Path | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    dtypes: Mapping[str, torch.dtype] | None = None,
    devices: Mapping[str, torch.device] | None = None,
) -> LTX2Components:
    """All parts of the checkpoint at ``path``, on ``device`` in ``dtype``, or a part's own of ``devices``, ``dtypes``.

    Weights in fp8 are dequantised. Raises CheckpointError, with the names, for missing, unknown or wrongly shaped
    tensors.
    """
    file = checkpoint_file(Path(path))
    own_dtypes, own_devices = dtypes or {}, devices or {}
    with TensorFile.opened(file) as tensors:
        config = _config(tensors)
        encoder = GemmaTextEncoder.from_folder(
            Path(text_encoder_folder) if text_encoder_folder is not None else file.parent / TEXT_ENCODER_FOLDER,
            device=own_devices.get("text_encoder", device),
            dtype=own_dtypes.get("text_encoder", dtype),
        )
        _check_text_encoder(encoder, config)
        # Modules are made without memory; they take over the tensors of the file.
        with torch.device("meta"):
            components = LTX2Components(
                config=config,
                text_encoder=encoder,
                connectors=TextConnectors(config.connectors),
                transformer=LTX2Transformer(config.transformer),
                video_vae=VideoVAE(config.video_vae),
                audio_vae=AudioVAE(config.audio_vae),
                vocoder=Vocoder(config.vocoder),
            )
        modules = {part: module for part, module in components.modules().items() if part != "text_encoder"}
        names = _matched(tensors, modules)
        for part, module in modules.items():
            tensors.fill(module, names[part], device=own_devices.get(part, device), dtype=own_dtypes.get(part, dtype))
    if upsampler_file is not None:
        components.upsampler = load_upsampler(
            upsampler_file,
            device=own_devices.get("upsampler", device),
            dtype=own_dtypes.get("upsampler", dtype),
        )
        _check_upsampler(components.upsampler, config)
    return components


def _config(file: TensorFile) -> LTX2Config:
    """The configuration; the number of the text encoder's hidden states shows only in the projection's width."""
    try:
        config = LTX2Config.from_metadata(file.header.metadata)
    except CheckpointError as error:
        raise CheckpointError(f"{file.path}: {error}") from error
    width = config.connectors.caption_channels
    for name in _AGGREGATES:
        key = f"{PROJECTION_PREFIX}{name}.weight"
        if key in file.header.tensors:
            features = file.shape(key)[-1]
            if features % width:
                raise CheckpointError(
                    f"{file.path}: {key} reads {features} features, no multiple of caption_channels = {width}"
                )
            connectors = replace(config.connectors, num_text_hidden_states=features // width)
            return replace(config, connectors=connectors)
    raise CheckpointError(
        f"{file.path}: missing tensor {PROJECTION_PREFIX}{_AGGREGATES[0]}.weight, or its per-stream form"
    )


def _check_text_encoder(encoder: GemmaTextEncoder, config: LTX2Config) -> None:
    expected = (config.connectors.caption_channels, config.connectors.num_text_hidden_states)
    actual = (encoder.hidden_size, encoder.num_hidden_states)
    if actual != expected:
        raise CheckpointError(
            f"the checkpoint was made for a text encoder with {expected[0]} channels and {expected[1]} hidden states; "
            f"this one has {actual[0]} and {actual[1]}"
        )


def _check_upsampler(upsampler: LatentUpsampler, config: LTX2Config) -> None:
    expected, actual = config.video_vae.latent_channels, upsampler.config.in_channels
    if actual != expected:
        raise CheckpointError(f"the checkpoint's latents have {expected} channels, the upsampler is for {actual}")


def _matched(file: TensorFile, modules: Mapping[str, nn.Module]) -> dict[str, dict[str, str]]:
    """For each part, its tensors' names and their keys in the file. Raises when the two sets differ."""
    names: dict[str, dict[str, str]] = {part: {} for part in modules}
    unknown = []
    expected = {part: set(module.state_dict()) for part, module in modules.items()}
    for key in file.keys:
        place = split_key(key)
        if place is not None and place[1] in expected[place[0]]:
            names[place[0]][place[1]] = key
        elif place is None or place[0] != "video_vae" or place[1] not in UNUSED_TENSORS:
            unknown.append(key)
    missing = [
        official_key(part, name) for part in modules for name in sorted(expected[part]) if name not in names[part]
    ]
    file.check_names(missing=missing, unknown=unknown)
    return names
