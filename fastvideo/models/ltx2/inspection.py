"""What a safetensors file of the LTX-2 family is, from its header alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.tensor_header import TensorHeader, TensorInfo
from fastvideo.models.ltx2.tensor_names import PARTS, split_key

Kind = Literal["checkpoint", "latent upsampler", "LoRA"]

_SECTIONS = ("transformer", "vae", "audio_vae", "vocoder")
# Of the latent upsampler's own tensors: one that each of its layouts has.
_UPSAMPLER_KEY = "post_upsample_res_blocks.0.conv1.weight"
_LORA_DOWN, _LORA_SUFFIXES = ".lora_A.weight", (".lora_A.weight", ".lora_B.weight")


@dataclass(frozen=True)
class PartSummary:
    """One part of a file: its tensors, their values, their size in the file, and how many there are of each type."""

    name: str
    tensors: int
    values: int
    nbytes: int
    dtypes: dict[str, int]

    @classmethod
    def of(cls, name: str, tensors: Iterable[TensorInfo]) -> PartSummary:
        """Of these tensors."""
        found = list(tensors)
        return cls(
            name,
            len(found),
            sum(info.count for info in found),
            sum(info.nbytes for info in found),
            dict(Counter(info.dtype for info in found).most_common()),
        )


@dataclass(frozen=True)
class Inspection:
    """``version``: what the file calls its model, or None. ``notes``: what else there is to say, in sentences."""

    path: str
    kind: Kind
    version: str | None
    parts: tuple[PartSummary, ...]
    quantised_layers: int
    notes: tuple[str, ...]


def inspect_file(path: Path) -> Inspection:
    """What the file at ``path`` is, or the folder in the layout of diffusers. Raises CheckpointError for one that is
    damaged, or of no kind known here."""
    if (path / "model_index.json").is_file():
        # That needs the readers of configurations, and torch with them; a file does not.
        from fastvideo.models.ltx2.folder_inspection import inspect_folder

        return inspect_folder(path)
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder: name one of its .safetensors files")
    if not path.is_file():
        raise CheckpointError(f"no file at {path}")
    header = TensorHeader.read(path)
    if any(key.endswith(_LORA_DOWN) for key in header.tensors):
        return _lora(header)
    if _UPSAMPLER_KEY in header.tensors:
        return _made(header, "latent upsampler", {"upsampler": list(header.tensors)}, _upsampler_notes(header))
    places = {key: split_key(key) for key in header.tensors}
    parts = {part: [key for key, place in places.items() if place and place[0] == part] for part in PARTS}
    if not parts["transformer"]:
        raise CheckpointError(
            f"{path} is a readable safetensors file, but neither an LTX-2 checkpoint nor a latent upsampler or LoRA "
            f"for one; its first tensors are {', '.join(sorted(header.tensors)[:3]) or 'none at all'}"
        )
    others = [key for key, place in places.items() if place is None]
    return _made(header, "checkpoint", {**parts, "unknown": others}, _checkpoint_notes(header, parts, others))


def _made(header: TensorHeader, kind: Kind, parts: dict[str, list[str]], notes: list[str]) -> Inspection:
    return Inspection(
        path=str(header.path),
        kind=kind,
        version=header.metadata.get("model_version"),
        parts=tuple(
            PartSummary.of(name, (header.tensors[key] for key in keys)) for name, keys in parts.items() if keys
        ),
        quantised_layers=len(header.quantised),
        notes=tuple(notes),
    )


def _lora(header: TensorHeader) -> Inspection:
    adapted = [key for key in header.tensors if key.endswith(_LORA_DOWN)]
    ranks = sorted({header.tensors[key].shape[0] for key in adapted if header.tensors[key].shape})
    notes = [f"layers: {len(adapted)}, rank: {' and '.join(str(rank) for rank in ranks)}"]
    others = [key for key in header.tensors if not key.endswith(_LORA_SUFFIXES)]
    if others:
        notes.append(f"tensors of no layer: {len(others)}, such as {others[0]}; it will be refused")
    return _made(header, "LoRA", {"layers": [k for k in header.tensors if k not in others], "unknown": others}, notes)


def _checkpoint_notes(header: TensorHeader, parts: dict[str, list[str]], others: list[str]) -> list[str]:
    config = _config(header)
    transformer = config.get("transformer")
    notes = []
    if isinstance(transformer, dict):
        layout = "2.3" if transformer.get("cross_attention_adaln") else "2.0"
        notes.append(f"{transformer.get('num_layers', 48)} transformer blocks in the layout of {layout}")
    missing = [name for name in _SECTIONS if not isinstance(config.get(name), dict)]
    if missing:
        notes.append(f"the metadata has no configuration of: {', '.join(missing)}; it cannot be loaded by itself")
    absent = [part for part in PARTS if not parts[part]]
    if absent:
        notes.append(f"there are no tensors of: {', '.join(absent)}; it cannot be loaded by itself")
    if others:
        notes.append(f"tensors of no part: {len(others)}, such as {others[0]}; it will be refused")
    return notes


def _upsampler_notes(header: TensorHeader) -> list[str]:
    config = _config(header)
    if config.get("temporal_upsample"):
        return ["in time, which is not used here"]
    scale = config.get("spatial_scale", config.get("rational_spatial_scale", 2))
    return [f"height and width times {scale:g}" if isinstance(scale, int | float) else "of an unknown scale"]


def _config(header: TensorHeader) -> dict[str, Any]:
    try:
        config = json.loads(header.metadata.get("config", "{}"))
    except ValueError as error:
        raise CheckpointError(f"{header.path}: the metadata's `config` is not JSON") from error
    return config if isinstance(config, dict) else {}
