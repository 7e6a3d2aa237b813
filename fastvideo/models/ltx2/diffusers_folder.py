"""A folder in the layout of diffusers: one subfolder a component, each with ``config.json`` and safetensors files.

The tensors are those of the official single file under other names, so that both fill the same modules, strictly.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.config import LTX2Config
from fastvideo.models.ltx2.diffusers_names import diffusers_name
from fastvideo.models.ltx2.diffusers_sections import official_sections
from fastvideo.models.ltx2.tensor_file import TensorFile, check_names, load_tensors
from fastvideo.models.ltx2.tensor_header import TensorHeader

MODEL_INDEX = "model_index.json"
TEXT_ENCODER_FOLDER = "text_encoder"
TOKENIZER_FOLDER = "tokenizer"
DIFFUSERS_UPSAMPLER_FOLDER = "latent_upsampler"

# The subfolder of each part, and the classes that diffusers has for it.
_COMPONENTS = {
    "transformer": ("transformer", ("LTX2VideoTransformer3DModel",)),
    "connectors": ("connectors", ("LTX2TextConnectors",)),
    "video_vae": ("vae", ("AutoencoderKLLTX2Video",)),
    "audio_vae": ("audio_vae", ("AutoencoderKLLTX2Audio",)),
    "vocoder": ("vocoder", ("LTX2Vocoder", "LTX2VocoderWithBWE")),
}
UPSAMPLER_CLASSES = ("LTX2LatentUpsamplerModel",)
_WEIGHT_INDEX = "*.safetensors.index.json"


def is_diffusers_folder(path: Path) -> bool:
    """Whether ``path`` is a folder with an index of components."""
    return (path / MODEL_INDEX).is_file()


class DiffusersFolder:
    """An open folder: its configuration, and what fills modules from it."""

    def __init__(self, path: Path, files: dict[str, TensorFolder]) -> None:
        self.path = path
        self._files = files
        configs = {folder: read_component_config(path / folder, classes) for folder, classes in _COMPONENTS.values()}
        try:
            sections = official_sections(configs)
            # Nothing in the folder says its version, other than what the transformer is made of.
            version = "2.3" if sections["transformer"]["cross_attention_adaln"] else "2.0"
            metadata = {"config": json.dumps(sections), "model_version": version}
            self.config = LTX2Config.from_metadata(metadata)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[DiffusersFolder]:
        """The folder at ``path``. Raises CheckpointError when it is of another pipeline, incomplete or damaged."""
        index = _read_json(path / MODEL_INDEX)
        absent = [folder for folder, _ in _COMPONENTS.values() if folder not in index]
        if absent:
            raise CheckpointError(
                f"{path / MODEL_INDEX} names no {', '.join(absent)}: expected a folder of an LTX-2 pipeline, got one "
                f"of {str(index.get('_class_name', 'another'))[:60]}"
            )
        with ExitStack() as stack:
            files = {
                part: stack.enter_context(TensorFolder.opened(path / folder))
                for part, (folder, _) in _COMPONENTS.items()
            }
            yield cls(path, files)

    @property
    def headers(self) -> dict[str, list[TensorHeader]]:
        """What the files of each part say of their tensors."""
        return {part: files.headers for part, files in self._files.items()}

    def shape(self, part: str, name: str) -> tuple[int, ...] | None:
        """Of the tensor with an official name, or None where there is none."""
        return self._files[part].shape(self._named(part, name))

    def fill(self, part: str, module: nn.Module, *, device: torch.device | str, dtype: torch.dtype) -> None:
        """Give ``module`` the part's tensors: a place for each, and each in its place. Raises CheckpointError."""
        names = {name: self._named(part, name) for name in module.state_dict()}
        self._files[part].fill(module, names, device=device, dtype=dtype)

    def _named(self, part: str, name: str) -> str:
        return diffusers_name(part, name, encoder_blocks=len(self.config.video_vae.encoder_blocks))


class TensorFolder:
    """The safetensors files of one component: a single one, or those that an index lists."""

    def __init__(self, path: Path, files: list[TensorFile]) -> None:
        self.path = path
        self.headers = [file.header for file in files]
        self._places = {key: file for file in files for key in file.keys}

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[TensorFolder]:
        """The component at ``path``. Raises CheckpointError."""
        with ExitStack() as stack:
            yield cls(path, [stack.enter_context(TensorFile.opened(file)) for file in _weight_files(path)])

    def shape(self, key: str) -> tuple[int, ...] | None:
        """Of a tensor, or None where there is none."""
        file = self._places.get(key)
        return None if file is None else file.shape(key)

    def fill(self, module: nn.Module, names: dict[str, str], *, device: torch.device | str, dtype: torch.dtype) -> None:
        """As :meth:`TensorFile.fill`, and with no tensor left over."""
        expected = set(names.values())
        check_names(
            self.path,
            missing=[key for key in names.values() if key not in self._places],
            unknown=[key for key in self._places if key not in expected],
        )
        load_tensors(module, names, lambda key: self._places[key], device=device, dtype=dtype)


def read_component_config(folder: Path, classes: tuple[str, ...]) -> dict[str, Any]:
    """``config.json`` of a component of one of these classes. Raises CheckpointError."""
    config = _read_json(folder / "config.json")
    name = config.get("_class_name")
    if name not in classes:
        raise CheckpointError(f"{folder / 'config.json'}: expected a {' or '.join(classes)}, got {str(name)[:60]!r}")
    return config


def _weight_files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.safetensors"))
    indices = sorted(folder.glob(_WEIGHT_INDEX))
    if len(indices) == 1:
        weight_map = _read_json(indices[0]).get("weight_map")
        names = set(weight_map.values()) if isinstance(weight_map, dict) else set()
        # A name of a file, and not a way to somewhere else.
        wrong = [name for name in names if not isinstance(name, str) or Path(name).name != name]
        absent = [name for name in names if name not in {file.name for file in files}]
        if not names or wrong or absent:
            found = ", ".join(str(name)[:60] for name in (wrong or absent)[:3]) or "none"
            raise CheckpointError(f"{indices[0]} lists files that are not beside it: {found}")
        return [folder / name for name in sorted(names)]
    if len(files) != 1:
        found = ", ".join(file.name for file in files[:5]) or "none"
        raise CheckpointError(f"expected one *.safetensors file, or their index, in {folder}, found {found}")
    return files


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or 'no such file'}") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected an object, got {type(values).__name__}")
    return values
