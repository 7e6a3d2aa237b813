"""Strict loading of an LTX-2 checkpoint: a place for every tensor, a tensor for every place.

An official single file carries all parts but the text encoder, by prefix. The text encoder is a Gemma 3 folder called
``text_encoder`` beside the file, or the one that ``pipeline.components.text_encoder_weights`` names. A latent
upsampler, where it is needed, is a file of its own. A folder in the layout of diffusers has one of each part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

import torch
from torch import nn

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.audio_vae import AudioVAE
from fastvideo.models.ltx2.config import LTX2Config
from fastvideo.models.ltx2.connectors import TextConnectors
from fastvideo.models.ltx2.diffusers_folder import (
    TEXT_ENCODER_FOLDER,
    TOKENIZER_FOLDER,
    DiffusersFolder,
    is_diffusers_folder,
)
from fastvideo.models.ltx2.tensor_file import TensorFile
from fastvideo.models.ltx2.tensor_names import PROJECTION_PREFIX, official_key, split_key
from fastvideo.models.ltx2.text_encoder import GemmaTextEncoder
from fastvideo.models.ltx2.transformer import LTX2Transformer
from fastvideo.models.ltx2.upsampler import LatentUpsampler, load_upsampler
from fastvideo.models.ltx2.video_vae import UNUSED_TENSORS, VideoVAE
from fastvideo.models.ltx2.vocoder import Vocoder

UPSAMPLER_FOLDER = "spatial_upscaler"

_AGGREGATES = ("aggregate_embed", "video_aggregate_embed")

__all__ = [
    "TEXT_ENCODER_FOLDER",
    "UPSAMPLER_FOLDER",
    "LTX2Components",
    "checkpoint_file",
    "load_components",
    "load_transformer",
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
        if is_diffusers_folder(path):
            raise CheckpointError(
                f"{path} is a folder in the layout of diffusers; here an official single file is needed"
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
    whole = Path(path)
    own_dtypes, own_devices = dtypes or {}, devices or {}

    def placing(part: str) -> _Placing:
        return {"device": own_devices.get(part, device), "dtype": own_dtypes.get(part, dtype)}

    text_encoder = None if text_encoder_folder is None else Path(text_encoder_folder)
    if is_diffusers_folder(whole):
        with DiffusersFolder.opened(whole) as folder:
            config = _with_hidden_states(folder.config, whole, lambda name: folder.shape("connectors", name))
            tokenizer = whole / TOKENIZER_FOLDER if text_encoder is None else text_encoder
            encoder = GemmaTextEncoder.from_folder(
                text_encoder or whole / TEXT_ENCODER_FOLDER, tokenizer_folder=tokenizer, **placing("text_encoder")
            )
            components = _empty(config, encoder)
            for part, module in _weighty(components).items():
                folder.fill(part, module, **placing(part))
    else:
        file = checkpoint_file(whole)
        with TensorFile.opened(file) as tensors:
            config = _with_hidden_states(_config(tensors), file, lambda name: _shape(tensors, name))
            encoder = GemmaTextEncoder.from_folder(
                text_encoder or file.parent / TEXT_ENCODER_FOLDER, **placing("text_encoder")
            )
            components = _empty(config, encoder)
            names = _matched(tensors, _weighty(components))
            for part, module in _weighty(components).items():
                tensors.fill(module, names[part], **placing(part))
    if upsampler_file is not None:
        components.upsampler = load_upsampler(upsampler_file, **placing("upsampler"))
        _check_upsampler(components.upsampler, config)
    return components


def load_transformer(
    path: Path | str, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[LTX2Config, LTX2Transformer]:
    """The transformer alone of the checkpoint at ``path``, and what the checkpoint says of all its parts.

    Raises CheckpointError for missing or wrongly shaped tensors.
    """
    whole = Path(path)
    if is_diffusers_folder(whole):
        with DiffusersFolder.opened(whole) as folder:
            config = _with_hidden_states(folder.config, whole, lambda name: folder.shape("connectors", name))
            transformer = _empty_transformer(config)
            folder.fill("transformer", transformer, device=device, dtype=dtype)
        return config, transformer
    file = checkpoint_file(whole)
    with TensorFile.opened(file) as tensors:
        config = _with_hidden_states(_config(tensors), file, lambda name: _shape(tensors, name))
        transformer = _empty_transformer(config)
        names = {name: official_key("transformer", name) for name in transformer.state_dict()}
        tensors.check_names(missing=sorted(set(names.values()) - set(tensors.keys)), unknown=[])
        tensors.fill(transformer, names, device=device, dtype=dtype)
    return config, transformer


def _empty_transformer(config: LTX2Config) -> LTX2Transformer:
    with torch.device("meta"):
        return LTX2Transformer(config.transformer)


class _Placing(TypedDict):
    device: torch.device | str
    dtype: torch.dtype


def _empty(config: LTX2Config, encoder: GemmaTextEncoder) -> LTX2Components:
    """The modules without memory; they take over the tensors of files."""
    _check_text_encoder(encoder, config)
    with torch.device("meta"):
        return LTX2Components(
            config=config,
            text_encoder=encoder,
            connectors=TextConnectors(config.connectors),
            transformer=_empty_transformer(config),
            video_vae=VideoVAE(config.video_vae),
            audio_vae=AudioVAE(config.audio_vae),
            vocoder=Vocoder(config.vocoder),
        )


def _weighty(components: LTX2Components) -> dict[str, nn.Module]:
    return {part: module for part, module in components.modules().items() if part != "text_encoder"}


def _config(file: TensorFile) -> LTX2Config:
    try:
        return LTX2Config.from_metadata(file.header.metadata)
    except CheckpointError as error:
        raise CheckpointError(f"{file.path}: {error}") from error


def _shape(file: TensorFile, key: str) -> tuple[int, ...] | None:
    return file.shape(key) if key in file.header.tensors else None


def _with_hidden_states(
    config: LTX2Config, path: Path, shape_of: Callable[[str], tuple[int, ...] | None]
) -> LTX2Config:
    """The number of the text encoder's hidden states shows only in the projection's width."""
    width = config.connectors.caption_channels
    for name in _AGGREGATES:
        key = f"{PROJECTION_PREFIX}{name}.weight"
        shape = shape_of(key)
        if shape is not None:
            features = shape[-1]
            if features % width:
                raise CheckpointError(
                    f"{path}: {key} reads {features} features, no multiple of caption_channels = {width}"
                )
            connectors = replace(config.connectors, num_text_hidden_states=features // width)
            return replace(config, connectors=connectors)
    raise CheckpointError(f"{path}: missing tensor {PROJECTION_PREFIX}{_AGGREGATES[0]}.weight, or its per-stream form")


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
