"""Inference presets: named defaults of a model family, and the stages that a request may override."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastvideo.api.errors import ConfigValidationError, PresetUnknown


@dataclass(frozen=True)
class PresetStageSpec:
    """One stage of a preset, and the keys that ``stage_overrides`` may set in it."""

    name: str
    kind: str
    description: str = ""
    allowed_overrides: frozenset[str] = frozenset()


@dataclass(frozen=True)
class InferencePreset:
    """Defaults for one model family; ``stage_defaults`` are per stage and stay per stage."""

    name: str
    version: int
    model_family: str
    description: str = ""
    workload_type: str | None = None
    stage_schemas: tuple[PresetStageSpec, ...] = ()
    defaults: dict[str, Any] = field(default_factory=dict)
    stage_defaults: dict[str, dict[str, Any]] = field(default_factory=dict)


_PRESETS: dict[tuple[str, str, int], InferencePreset] = {}


def register_preset(preset: InferencePreset) -> InferencePreset:
    """Make a preset selectable. Raises ValueError when (family, name, version) is taken."""
    key = (preset.model_family, preset.name, preset.version)
    if key in _PRESETS:
        raise ValueError(f"the preset {preset.name!r} version {preset.version} of {preset.model_family!r} exists")
    _PRESETS[key] = preset
    return preset


def get_preset(name: str, model_family: str, version: int | None = None) -> InferencePreset:
    """The preset of that name; the highest version unless one is asked for. Raises PresetUnknown."""
    versions = {p.version: p for p in _PRESETS.values() if p.model_family == model_family and p.name == name}
    if not versions:
        known = ", ".join(sorted({p.name for p in _PRESETS.values() if p.model_family == model_family})) or "none"
        raise PresetUnknown("pipeline.preset", f"unknown preset {name!r} for {model_family!r}; known presets: {known}")
    if version is None:
        return versions[max(versions)]
    if version not in versions:
        known = ", ".join(str(number) for number in sorted(versions))
        raise PresetUnknown("pipeline.preset_version", f"{name!r} has no version {version}; known versions: {known}")
    return versions[version]


def get_presets_for_family(model_family: str) -> list[InferencePreset]:
    """All presets of a family, by name and version."""
    family = [preset for preset in _PRESETS.values() if preset.model_family == model_family]
    return sorted(family, key=lambda preset: (preset.name, preset.version))


def get_all_preset_names() -> list[str]:
    """The names of all presets, sorted."""
    return sorted({preset.name for preset in _PRESETS.values()})


def validate_stage_names(preset: InferencePreset, stage_overrides: Mapping[str, Any]) -> None:
    """Raise ConfigValidationError for a stage that the preset does not have."""
    known = [stage.name for stage in preset.stage_schemas]
    for name in stage_overrides:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise ConfigValidationError(
                f"stage_overrides.{name}", f"unknown stage of preset {preset.name!r}; its stages: {listed}"
            )


def validate_stage_overrides(preset: InferencePreset, stage_overrides: Mapping[str, Any]) -> None:
    """Raise ConfigValidationError for an unknown stage, a stage that is no mapping, or a key it does not allow."""
    validate_stage_names(preset, stage_overrides)
    for stage in preset.stage_schemas:
        values = stage_overrides.get(stage.name, {})
        path = f"stage_overrides.{stage.name}"
        if not isinstance(values, Mapping):
            raise ConfigValidationError(path, f"expected a mapping, got {type(values).__name__}")
        for key in values:
            if key not in stage.allowed_overrides:
                allowed = ", ".join(sorted(stage.allowed_overrides)) or "none"
                raise ConfigValidationError(f"{path}.{key}", f"cannot be overridden; allowed keys: {allowed}")


def validate_preset_selection(
    name: str | None,
    family: str,
    *,
    preset_version: int | None = None,
    stage_overrides: Mapping[str, Any] | None = None,
) -> InferencePreset | None:
    """The selected preset after checking its stage overrides; None when no preset is selected."""
    if name is None:
        return None
    preset = get_preset(name, family, preset_version)
    validate_stage_overrides(preset, stage_overrides or {})
    return preset
