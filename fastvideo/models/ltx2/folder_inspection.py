"""What a folder in the layout of diffusers is, from its configurations and headers."""

from __future__ import annotations

from pathlib import Path

from fastvideo.models.ltx2.diffusers_folder import (
    DIFFUSERS_UPSAMPLER_FOLDER,
    TEXT_ENCODER_FOLDER,
    TOKENIZER_FOLDER,
    DiffusersFolder,
)
from fastvideo.models.ltx2.inspection import Inspection, PartSummary


def inspect_folder(path: Path) -> Inspection:
    """What the folder at ``path`` holds. Raises CheckpointError for one that is incomplete, damaged or of another
    model."""
    with DiffusersFolder.opened(path) as folder:
        config, headers = folder.config, folder.headers
    layers = config.transformer.num_layers
    return Inspection(
        path=str(path),
        kind="checkpoint",
        version=config.model_version,
        parts=tuple(
            PartSummary.of(part, (info for header in files for info in header.tensors.values()))
            for part, files in headers.items()
        ),
        quantised_layers=sum(len(header.quantised) for files in headers.values() for header in files),
        notes=(f"{layers} transformer blocks, in the layout of diffusers", *_beside(path)),
    )


def _beside(path: Path) -> list[str]:
    absent = [name for name in (TEXT_ENCODER_FOLDER, TOKENIZER_FOLDER) if not (path / name).is_dir()]
    notes = [f"there is no {' and no '.join(absent)}; name one in pipeline.components.text_encoder_weights"]
    has_upsampler = (path / DIFFUSERS_UPSAMPLER_FOLDER).is_dir()
    return [*(notes if absent else []), *(["a latent upsampler is with it"] if has_upsampler else [])]
