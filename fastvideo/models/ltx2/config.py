"""The configuration of a whole LTX-2 checkpoint, read from the metadata of its official single file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.audio_vae import AudioVAEConfig
from fastvideo.models.ltx2.connectors import TextConnectorsConfig
from fastvideo.models.ltx2.transformer import LTX2TransformerConfig
from fastvideo.models.ltx2.video_vae import VideoVAEConfig
from fastvideo.models.ltx2.vocoder import VocoderConfig

_SECTIONS = ("transformer", "vae", "audio_vae", "vocoder")


@dataclass(frozen=True)
class LTX2Config:
    """One part's configuration each; ``model_version`` as the file says ("" when it does not)."""

    model_version: str
    transformer: LTX2TransformerConfig
    connectors: TextConnectorsConfig
    video_vae: VideoVAEConfig
    audio_vae: AudioVAEConfig
    vocoder: VocoderConfig

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> LTX2Config:
        """From a safetensors file's metadata: JSON under ``config``, plain text under ``model_version``.

        Raises CheckpointError for metadata of something else, naming the section or key.
        """
        sections = _sections(metadata)
        return cls(
            model_version=metadata.get("model_version", ""),
            transformer=LTX2TransformerConfig.from_metadata(sections["transformer"]),
            connectors=TextConnectorsConfig.from_metadata(sections["transformer"]),
            video_vae=VideoVAEConfig.from_metadata(sections["vae"]),
            audio_vae=AudioVAEConfig.from_metadata(sections["audio_vae"]),
            vocoder=VocoderConfig.from_metadata(sections["vocoder"]),
        )


def _sections(metadata: Mapping[str, str]) -> dict[str, Mapping[str, Any]]:
    text = metadata.get("config")
    if text is None:
        raise CheckpointError("the metadata has no `config`: expected an official LTX-2 single-file checkpoint")
    try:
        config = json.loads(text)
    except ValueError as error:
        raise CheckpointError("the metadata's `config` is not JSON") from error
    sections = {}
    for name in _SECTIONS:
        section = config.get(name) if isinstance(config, Mapping) else None
        if not isinstance(section, Mapping):
            raise CheckpointError(
                f"the metadata's `config` has no section {name!r}: expected a complete LTX-2 checkpoint with picture "
                "and sound, not a part of one or another model"
            )
        sections[name] = section
    return sections
