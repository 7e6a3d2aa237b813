"""Session presets: a look and a story to start a stream with, one YAML file each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.parser import load_raw_config, parse_config
from fastvideo.api.schema import GenerationRequest
from fastvideo.api.strict_config import StrictConfig
from fastvideo.resources import session_presets_dir


@dataclass
class SessionToggles(StrictConfig):
    """The switches of the opening message that a preset turns on."""

    auto_extension: bool = False
    loop_generation: bool = False
    single_clip_mode: bool = False


@dataclass
class SessionPreset(StrictConfig):
    """``sampling`` holds fields of SamplingConfig, only those that the preset sets; ``prompts`` is the story in order;
    ``name`` is the file's stem."""

    name: str
    label: str
    description: str = ""
    prompts: list[str] = field(default_factory=list)
    sampling: dict[str, Any] = field(default_factory=dict)
    toggles: SessionToggles = field(default_factory=SessionToggles)

    @property
    def request_defaults(self) -> dict[str, Any]:
        """Field names and values for the preset level of ``resolve_request``."""
        return dict(self.sampling)


def load_session_presets(folder: Path | None = None) -> dict[str, SessionPreset]:
    """All presets of a folder (the shipped ones by default) by name, in the order of their file names.

    Raises ConfigValidationError that names the file and the key.
    """
    presets = {}
    for path in sorted((folder or session_presets_dir()).glob("*.yaml")):
        try:
            preset = parse_config(SessionPreset, {**load_raw_config(path), "name": path.stem})
            parse_config(GenerationRequest, {"sampling": preset.sampling})
        except ConfigValidationError as error:
            raise ConfigValidationError(f"{path.name}:{error.path}", error.message) from None
        presets[preset.name] = preset
    return presets
