"""Last stage: puts the trained parts together as the checkpoint that travels in the package; or the way back, so that
training goes on from it.

python -m scripts.train_embedded.assemble --folder outputs/embedded
python -m scripts.train_embedded.assemble --folder outputs/embedded --take-apart
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from fastvideo.entrypoints.model_path import EMBEDDED_NAME
from fastvideo.models.ltx2.loader import TEXT_ENCODER_FOLDER, load_components, split_key
from fastvideo.resources import embedded_model_dir
from scripts.train_embedded.snapshot import write_tensors

PARTS = ("video_vae", "audio_vae", "vocoder", "connectors", "transformer")
# The section of the metadata that describes each part.
_SECTIONS = {
    "video_vae": "vae",
    "audio_vae": "audio_vae",
    "vocoder": "vocoder",
    "connectors": "transformer",
    "transformer": "transformer",
}
LARGEST_FILE_BYTES = 15_000_000
LARGEST_TOTAL_BYTES = 20_000_000


def assemble(folder: Path, into: Path) -> dict[str, int]:
    """Writes the checkpoint of the parts in ``folder``, in bfloat16, and the text encoder into ``into``.

    The same parts give the same bytes. Nothing is written unless the result is small enough and loads strictly.
    Returns the size in bytes of each file by its path below ``into``. Raises ValueError for parts that do not fit
    together or are too large, CheckpointError for a checkpoint that does not load.
    """
    tensors, config = merged([folder / f"{part}.safetensors" for part in PARTS])
    metadata = {"config": json.dumps(config, sort_keys=True), "model_version": _version(config)}
    with tempfile.TemporaryDirectory() as name:
        draft = Path(name)
        (draft / EMBEDDED_NAME).write_bytes(checkpoint_bytes(tensors, metadata))
        shutil.copytree(folder / TEXT_ENCODER_FOLDER, draft / TEXT_ENCODER_FOLDER)
        files = sorted(path for path in draft.rglob("*") if path.is_file())
        sizes = {str(path.relative_to(draft)): path.stat().st_size for path in files}
        check_sizes(sizes)
        load_components(draft)
        shutil.rmtree(into / TEXT_ENCODER_FOLDER, ignore_errors=True)
        shutil.copytree(draft, into, dirs_exist_ok=True)
    return sizes


def take_apart(checkpoint: Path, folder: Path) -> None:
    """Writes the parts of the checkpoint in the folder ``checkpoint``, in float32, and its text encoder to ``folder``.

    Raises FileExistsError rather than overwrite a part.
    """
    paths = {part: folder / f"{part}.safetensors" for part in PARTS}
    for path in paths.values():
        if path.exists():
            raise FileExistsError(f"{path} is there already: take the checkpoint apart in an empty folder")
    with safe_open(checkpoint / EMBEDDED_NAME, framework="pt") as file:
        sections = json.loads(file.metadata()["config"])
        tensors: dict[str, dict[str, Tensor]] = {part: {} for part in PARTS}
        for key in file.keys():  # noqa: SIM118
            place = split_key(key)
            if place is None:
                raise ValueError(f"{checkpoint / EMBEDDED_NAME}: {key} is of no part")
            tensors[place[0]][key] = file.get_tensor(key).float()
    for part, path in paths.items():
        write_tensors(path, tensors[part], {_SECTIONS[part]: json.dumps(sections[_SECTIONS[part]])})
    shutil.copytree(checkpoint / TEXT_ENCODER_FOLDER, folder / TEXT_ENCODER_FOLDER, dirs_exist_ok=True)


def merged(files: list[Path]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All tensors of some parts by their official names, and the sections that their metadata hold as JSON.

    Two parts may both write a section, where their values agree.
    """
    tensors: dict[str, Tensor] = {}
    sections: dict[str, Any] = {}
    for path in files:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118
                if key in tensors or split_key(key) is None:
                    raise ValueError(f"{path.name}: {key} is {'in two parts' if key in tensors else 'of no part'}")
                tensors[key] = file.get_tensor(key)
            for name, text in (file.metadata() or {}).items():
                section = sections.setdefault(name, {})
                for key, value in json.loads(text).items():
                    if section.setdefault(key, value) != value:
                        raise ValueError(f"{path.name}: {name}.{key} is {value!r}, in another part {section[key]!r}")
    return tensors, sections


def checkpoint_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file with the tensors in bfloat16."""
    data = save({key: tensor.to(torch.bfloat16).contiguous() for key, tensor in tensors.items()}, dict(metadata))
    # The library writes its metadata in any order; a header in one order makes equal contents equal files.
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:begin]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[begin:]


def check_sizes(sizes: Mapping[str, int]) -> None:
    """Raises ValueError when a file is larger than 15 MB, or all together are larger than 20 MB."""
    for name, size in sizes.items():
        if size > LARGEST_FILE_BYTES:
            raise ValueError(f"{name} has {size:,} bytes, expected at most {LARGEST_FILE_BYTES:,}")
    if sum(sizes.values()) > LARGEST_TOTAL_BYTES:
        raise ValueError(f"the files have {sum(sizes.values()):,} bytes, expected at most {LARGEST_TOTAL_BYTES:,}")


def _version(config: Mapping[str, Any]) -> str:
    """The version whose form the sections have."""
    return "2.3" if config["transformer"].get("caption_proj_before_connector") else "2.0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="with the trained parts and text_encoder/")
    parser.add_argument("--into", type=Path, default=embedded_model_dir(), help="default: the package's own place")
    parser.add_argument("--take-apart", action="store_true", help="write the parts of the package's checkpoint")
    arguments = parser.parse_args()
    if arguments.take_apart:
        take_apart(arguments.into, arguments.folder)
        return
    sizes = assemble(arguments.folder, arguments.into)
    for name, size in sizes.items():
        print(f"{size:12,}  {name}")
    print(f"{sum(sizes.values()):12,}  {arguments.into}")


if __name__ == "__main__":
    main()
